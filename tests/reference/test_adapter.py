"""Schedulers that diffusers walks for us: reached by name, counted, and the same latents as in StableDiffusionPipeline's own loop."""

import importlib.util
import sys

import diffusers
import pytest
import torch

from ldmcli.diffusion.catalogue import SCHEDULERS
from ldmcli.diffusion.loop import denoise, last
from ldmcli.diffusion.noise import StepNoise, noise_for
from ldmcli.diffusion.schedule import make_schedule
from ldmcli.diffusion.solver import make_solver
from ldmcli.errors import UsageError

FOREIGN = [row for row in SCHEDULERS if not row.ours]
SEEDS, SHAPE, STEPS = [3, 4], (4, 8, 8), 8


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=8, attention_head_dim=4, norm_num_groups=4,
    ).eval()  # fmt: skip


def usable(row):
    if row.needs and importlib.util.find_spec(row.needs) is None:
        pytest.skip(f"{row.needs} is not installed")
    return row


def walk_theirs(unet, row, schedule, text):
    """The loop of StableDiffusionPipeline without guidance."""
    config = {**schedule.to_file(), "timestep_spacing": row.spacing, "use_karras_sigmas": row.karras, **dict(row.options)}
    scheduler = getattr(diffusers, row.class_name).from_config(config)
    scheduler.set_timesteps(STEPS)
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    x = torch.stack([torch.randn(SHAPE, generator=g) for g in generators]) * scheduler.init_noise_sigma
    extra = {"generator": generators} if "generator" in scheduler.step.__code__.co_varnames else {}
    if hasattr(scheduler, "noise_sampler_seed"):
        scheduler.noise_sampler_seed = SEEDS
    calls = 0
    with torch.no_grad():
        for t in scheduler.timesteps:
            answer = unet(scheduler.scale_model_input(x, t), t, text).sample
            x, calls = scheduler.step(answer, t, x, **extra).prev_sample, calls + 1
    return x, calls


@pytest.mark.parametrize("row", FOREIGN, ids=lambda row: row.name)
def test_a_foreign_scheduler_gives_the_latents_of_the_pipelines_loop_and_counts_its_calls(unet, row):
    schedule, text = make_schedule("scaled-linear", "epsilon"), torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(1))
    solver = make_solver(usable(row).name, schedule, STEPS)
    seen = []

    def predict(x, index):
        seen.append(index)
        return None, unet(x, solver.timesteps[index], text).sample

    ours = last(denoise(predict, solver, noise_for(SEEDS, SHAPE), guidance=1, step_noise=StepNoise(SEEDS, SHAPE)))
    theirs, calls = walk_theirs(unet, row, schedule, text)
    assert (ours - theirs).abs().max() <= 1e-5 * max(1.0, theirs.abs().max().item())
    assert len(seen) == calls == solver.num_calls == row.calls(STEPS)


@pytest.mark.parametrize("row", [row for row in FOREIGN if row.sigma_space], ids=lambda row: row.name)
def test_on_a_cosine_model_a_foreign_scheduler_starts_lower_or_is_refused_with_the_reason(row):
    schedule = make_schedule("cosine", "v")
    if row.clips:
        assert make_solver(row.name, schedule, STEPS).timesteps[0] == 995
    else:
        with pytest.raises(UsageError, match="cannot start below"):
            make_solver(row.name, schedule, STEPS)


def test_a_missing_package_is_a_usage_error_that_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchsde", None)
    monkeypatch.setattr("diffusers.utils.import_utils._torchsde_available", False)
    monkeypatch.delattr(diffusers, "DPMSolverSDEScheduler", raising=False)
    monkeypatch.setattr(diffusers, "DPMSolverSDEScheduler", _dummy(), raising=False)
    with pytest.raises(UsageError, match="torchsde"):
        make_solver("dpm++ sde", make_schedule("scaled-linear", "epsilon"), STEPS)


def _dummy():
    from diffusers.utils.dummy_torch_and_torchsde_objects import DPMSolverSDEScheduler

    return DPMSolverSDEScheduler
