"""diffusers rewrites scheduler_config.json when it loads and saves a model, timestep_spacing included; what we walk stays the same."""

import json

import diffusers
import pytest

from ldmcli.diffusion.catalogue import SCHEDULERS
from ldmcli.diffusion.schedule import schedule_from_file
from ldmcli.diffusion.solver import make_solver

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

PUBLISHED = {
    "_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
    "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "clip_sample": False,
}  # fmt: skip
"""As Stable Diffusion 1.x was published: it states no timestep_spacing."""


@pytest.fixture
def published_file(tmp_path):
    path = tmp_path / "scheduler" / "scheduler_config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(PUBLISHED))
    return path


@pytest.mark.parametrize(
    "through", ["PNDMScheduler", "DDIMScheduler", "DPMSolverMultistepScheduler", "EulerDiscreteScheduler", "UniPCMultistepScheduler"]
)
def test_the_timesteps_are_equal_before_and_after_a_model_was_loaded_and_saved(published_file, tmp_path, through):
    scheduler = getattr(diffusers, through).from_pretrained(published_file.parent)
    scheduler.save_pretrained(tmp_path / "once")
    getattr(diffusers, through).from_pretrained(tmp_path / "once").save_pretrained(tmp_path / "twice")
    before = schedule_from_file(PUBLISHED)
    after = schedule_from_file(json.loads((tmp_path / "twice" / "scheduler_config.json").read_text()))
    assert "timestep_spacing" not in PUBLISHED and after.file_spacing is not None  # diffusers did write one
    assert (before.steps_offset, before.set_alpha_to_one) == (after.steps_offset, after.set_alpha_to_one)
    for row in (row for row in SCHEDULERS if row.ours):
        for steps in (7, 20):
            one, other = make_solver(row.name, before, steps), make_solver(row.name, after, steps)
            assert one.timesteps == other.timesteps and one.plan.sigmas == other.plan.sigmas, (row.name, steps)
