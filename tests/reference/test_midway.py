"""A walk from a picture, all of it or a part, against the loops of diffusers' image-to-image and inpainting pipelines."""

from functools import cache
from typing import Any

import pytest
import torch
from test_solvers import NAMES, ROWS, SEEDS, SHAPE, network, theirs

from ldmcli.diffusion.catalogue import SCHEDULERS
from ldmcli.diffusion.midway import begun_midway
from ldmcli.diffusion.noise import StepNoise, noise_for
from ldmcli.diffusion.schedule import make_schedule
from ldmcli.diffusion.solver import Solver, make_solver
from ldmcli.diffusion.start import StartPicture
from ldmcli.errors import UsageError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # diffusers hands torch tensors to numpy

STEPS = 10
PICTURE = torch.linspace(-1, 1, 2 * 4 * 64).view(2, *SHAPE)
REDRAWN = (torch.arange(8) < 5).float().expand(1, 1, 8, 8)


def walk_ours(solver: Solver, redrawn: torch.Tensor | None) -> torch.Tensor:
    walk = solver.walk(noise_for(SEEDS, SHAPE), StepNoise(SEEDS, SHAPE), StartPicture(PICTURE, redrawn))
    call = next(walk)
    while True:
        try:
            call = walk.send(network(call.model_input, call.timestep))
        except StopIteration as end:
            return end.value


def walk_theirs(scheduler: Any, strength: float, redrawn: torch.Tensor | None, stochastic: bool) -> torch.Tensor:
    """The lines of StableDiffusionImg2ImgPipeline (and of StableDiffusionInpaintPipeline) about timesteps, start and steps."""
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    noise = torch.cat([torch.randn((1, *SHAPE), generator=generator) for generator in generators])
    first = max(STEPS - min(int(STEPS * strength), STEPS), 0) * scheduler.order
    timesteps = scheduler.timesteps[first:]
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    from_noise = redrawn is not None and strength == 1.0
    x = noise * scheduler.init_noise_sigma if from_noise else scheduler.add_noise(PICTURE, noise, timesteps[:1].repeat(len(noise)))
    extra = {"generator": generators} if stochastic else {}
    for i, t in enumerate(timesteps):
        x = scheduler.step(network(scheduler.scale_model_input(x, t), t), t, x, **extra).prev_sample
        if redrawn is not None:
            stays = PICTURE
            if i < len(timesteps) - 1:
                stays = scheduler.add_noise(PICTURE, noise, torch.tensor([timesteps[i + 1]]))
            x = (1 - redrawn) * stays + redrawn * x
    return x


@pytest.mark.parametrize("strength", [0.2, 0.6, 1.0])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_walk_from_a_picture_equals_diffusers(name, masked, strength):
    schedule, redrawn = make_schedule("scaled-linear", "v"), REDRAWN if masked else None
    whole = make_solver(name, schedule, STEPS)
    solver = begun_midway(whole, strength)
    wanted = walk_theirs(theirs(whole, schedule, STEPS), strength, redrawn, whole.stochastic)
    ours = walk_ours(solver, redrawn)
    assert solver.num_calls == len(solver.timesteps) == solver.settings["calls"] <= whole.num_calls
    assert (ours - wanted).abs().max() <= 1e-4 * max(1.0, wanted.abs().max().item())
    assert not masked or torch.equal(ours[..., 5:], PICTURE[..., 5:])  # what stays is the picture itself


@pytest.mark.parametrize("name", ["ddim", "ddpm", "pndm", "euler", "dpm++2m", "unipc"])
def test_a_walk_from_a_picture_equals_diffusers_on_cosine(name):
    schedule = make_schedule("cosine", "v")
    whole = make_solver(name, schedule, STEPS, sigma_clip=False)
    wanted = walk_theirs(theirs(whole, schedule, STEPS), 0.6, None, whole.stochastic)
    assert (walk_ours(begun_midway(whole, 0.6), None) - wanted).abs().max() <= 1e-4 * max(1.0, wanted.abs().max().item())


FOREIGN = [row.name for row in SCHEDULERS if not row.ours and row.needs is None]


@cache
def foreign_solver(name: str) -> Solver:
    """Some classes take long to make."""
    return make_solver(name, make_schedule("scaled-linear", "v"), STEPS)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", FOREIGN)
def test_a_scheduler_of_diffusers_starts_from_a_picture_too(name, masked):
    whole, redrawn = foreign_solver(name), REDRAWN if masked else None
    wanted = walk_theirs(whole.plan.build(), 0.6, redrawn, whole.stochastic)
    solver = begun_midway(whole, 0.6)
    assert torch.equal(walk_ours(solver, redrawn), wanted)
    assert solver.num_calls == len(whole.timesteps) - 4 * (2 if whole.row.two_calls else 1)


def test_a_strength_below_one_step_is_refused_and_none_has_no_call():
    solver = make_solver("euler", make_schedule("scaled-linear", "v"), STEPS)
    with pytest.raises(UsageError, match="less than one step"):
        begun_midway(solver, 0.09)
    assert begun_midway(solver, 0.0).num_calls == 0 and begun_midway(solver, 1.0) is solver
    assert {row.order for row in ROWS.values()} == {1, 2, 4}  # those that remember are among the names above
