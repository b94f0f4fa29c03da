"""`ldm generate` against StableDiffusionPipeline: files, prompts and seeds in, pictures out."""

import numpy as np
import pytest
from PIL import Image
from pipeline import drawn_by_diffusers

from ldmcli.cli import main

SCHEDULERS = [
    ("ddim", "DDIMScheduler", {"timestep_spacing": "leading"}),
    ("ddpm", "DDPMScheduler", {"timestep_spacing": "leading"}),
    ("pndm", "PNDMScheduler", {"timestep_spacing": "leading", "skip_prk_steps": True}),
    ("euler", "EulerDiscreteScheduler", {"timestep_spacing": "linspace"}),
    ("euler-a", "EulerAncestralDiscreteScheduler", {"timestep_spacing": "linspace"}),
    ("heun", "HeunDiscreteScheduler", {"timestep_spacing": "linspace"}),
    ("dpm++2m", "DPMSolverMultistepScheduler", {"timestep_spacing": "linspace", "algorithm_type": "dpmsolver++"}),
]


@pytest.mark.parametrize(("name", "scheduler", "settings"), SCHEDULERS)
def test_the_pipeline_draws_the_same_pictures(name, scheduler, settings, model, tmp_path):
    prompts, shared = ["a dog", "a red dog, running"], ["--steps", "6", "--cfg", "4", "--negative", "blue", "--no-sigma-clip"]
    for prompt in prompts:
        assert main(["generate", prompt, "-m", str(model), "-o", f"{tmp_path}/", "-s", "9", "--scheduler", name, *shared, "-q"]) == 0
    ours = [np.asarray(Image.open(path)).astype(int) for path in sorted(tmp_path.glob("*.png"))]
    theirs = drawn_by_diffusers(model, scheduler, prompts, [9, 9], steps=6, cfg=4.0, negative="blue", **settings)
    assert ours[0].std() > 10 and np.abs(ours[0] - ours[1]).max() > 2  # pictures with something on them, and two of them
    for mine, other in zip(ours, theirs, strict=True):
        assert np.abs(mine - other).max() <= 2
