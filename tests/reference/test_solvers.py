"""Our solvers against diffusers' schedulers: same schedule, same noise, same network."""

import dataclasses
import inspect
import itertools
import math
from typing import Any

import diffusers
import numpy
import pytest
import torch

from ldmcli.diffusion.catalogue import SCHEDULERS, resolve
from ldmcli.diffusion.noise import StepNoise, noise_for
from ldmcli.diffusion.schedule import NoiseSchedule, make_schedule
from ldmcli.diffusion.solver import Solver, make_solver

pytestmark = [
    pytest.mark.early,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # diffusers hands torch tensors to numpy
]

SEEDS, SHAPE = (3, 4), (4, 8, 8)
EXTRA: dict[str, dict[str, Any]] = {
    "pndm": {"skip_prk_steps": True},
    "dpm++2m": {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint"},
    "dpm++2m-sde": {"algorithm_type": "sde-dpmsolver++", "solver_order": 2, "solver_type": "midpoint"},
    "unipc": {"solver_order": 2, "solver_type": "bh2", "predict_x0": True},
}
ROWS = {row.name: row for row in SCHEDULERS if row.ours}
NAMES = [row.name for row in SCHEDULERS if row.ours]


def theirs(solver: Solver, schedule: NoiseSchedule, steps: int, **changes: object) -> Any:
    row = resolve(solver.name)
    config = {**schedule.to_file(), "timestep_spacing": solver.settings["spacing"], **EXTRA.get(row.method, {})}
    if row.sigma_space and row.method != "euler-a":
        config["use_karras_sigmas"] = row.karras
    class_ = getattr(diffusers, row.class_name)
    scheduler = class_(**{key: config[key] for key in inspect.signature(class_).parameters if key in config}, **changes)
    scheduler.set_timesteps(steps)
    return scheduler


EACH = torch.eye(math.prod(SHAPE)).view(-1, *SHAPE)
MIX = (0.6 * EACH + 0.3 * EACH.roll(1, 1) - 0.2 * EACH.roll(1, 2) + 0.2 * EACH.roll(1, 3)).flatten(1)


def network(x: torch.Tensor, t: torch.Tensor | float) -> torch.Tensor:
    """Smooth in x and t, mixes channels and pixels, not close to the ideal answer."""
    return torch.tanh(torch.addmm(torch.tensor(0.5 * math.sin(float(t) / 150)), x.flatten(1), MIX)).view_as(x)


def walk_ours(solver: Solver) -> torch.Tensor:
    walk = solver.walk(noise_for(SEEDS, SHAPE), StepNoise(SEEDS, SHAPE))
    call = next(walk)
    while True:
        try:
            call = walk.send(network(call.model_input, call.timestep))
        except StopIteration as end:
            return end.value


def walk_theirs(scheduler: Any, stochastic: bool) -> torch.Tensor:
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    noise = torch.cat([torch.randn((1, *SHAPE), generator=generator) for generator in generators])
    x = noise * scheduler.init_noise_sigma
    extra = {"generator": generators} if stochastic else {}
    for t in scheduler.timesteps:
        answer = network(scheduler.scale_model_input(x, t), t)
        x = scheduler.step(answer, t, x, **extra).prev_sample
    return x


def assert_equal(solver: Solver, scheduler: Any) -> None:
    ours, wanted = walk_ours(solver), walk_theirs(scheduler, solver.stochastic)
    assert wanted.isfinite().all()
    assert list(solver.timesteps) == pytest.approx(scheduler.timesteps.tolist(), abs=1e-3)
    assert float(solver.init_noise_sigma) == pytest.approx(float(scheduler.init_noise_sigma), rel=1e-6)
    difference = (ours - wanted).abs().max().item()
    assert difference <= 1e-4 * max(1.0, wanted.abs().max().item())


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
@pytest.mark.parametrize("name", NAMES)
def test_twenty_steps_equal_diffusers_on_scaled_linear(name, prediction):
    schedule = make_schedule("scaled-linear", prediction)
    solver = make_solver(name, schedule, 20)
    assert_equal(solver, theirs(solver, schedule, 20))


DIFFUSERS_CRASHES_ON_COSINE = ("dpm++2m-karras", "dpm++2m-sde-karras", "unipc-karras")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in DIFFUSERS_CRASHES_ON_COSINE])
def test_twenty_steps_equal_diffusers_on_cosine_with_v(name):
    schedule = make_schedule("cosine", "v")
    solver = make_solver(name, schedule, 20, sigma_clip=False)
    assert_equal(solver, theirs(solver, schedule, 20))


@pytest.mark.parametrize("name", ["ddim", "ddpm", "pndm"])
def test_twenty_steps_equal_diffusers_on_cosine_with_epsilon(name):
    schedule = make_schedule("cosine", "epsilon")
    solver = make_solver(name, schedule, 20)
    assert_equal(solver, theirs(solver, schedule, 20))


@pytest.mark.parametrize("steps", [5, 20, 50])
@pytest.mark.parametrize("name", ["dpm++2m", "dpm++2m-sde"])
def test_the_sigma_clip_is_the_one_that_diffusers_advises_for_cosine(name, steps):
    schedule = make_schedule("cosine", "v")
    solver = make_solver(name, schedule, steps)
    assert_equal(solver, theirs(solver, schedule, steps, lambda_min_clipped=-5.1))


@pytest.mark.parametrize(("steps", "prediction"), [*itertools.product([1, 2, 5], ["epsilon", "v"]), (50, "epsilon")])
@pytest.mark.parametrize("name", NAMES)
def test_few_and_many_steps_equal_diffusers(name, steps, prediction):
    schedule = make_schedule("scaled-linear", prediction)
    solver = make_solver(name, schedule, steps)
    assert_equal(solver, theirs(solver, schedule, steps))


KARRAS_BELOW = ("dpm++2m-karras", "unipc-karras", "euler-karras")
"""Whose 999 sigmas and timesteps are compared in test_timesteps_equal_diffusers_at_every_number_of_steps."""


@pytest.mark.parametrize("name", [name for name in NAMES if name not in KARRAS_BELOW])
def test_999_steps_equal_diffusers(name):
    schedule = make_schedule("scaled-linear", "v")
    solver = make_solver(name, schedule, 999)
    assert_equal(solver, theirs(solver, schedule, 999))


@pytest.mark.parametrize("set_alpha_to_one", [True, False])
@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("name", NAMES)
def test_every_spacing_equals_diffusers(name, spacing, set_alpha_to_one):
    if spacing == "linspace" and name in ("ddim", "pndm"):
        pytest.skip("refused: see test_spacing")
    schedule = dataclasses.replace(make_schedule("scaled-linear", "v"), set_alpha_to_one=set_alpha_to_one)
    solver = make_solver(name, schedule, 12, spacing=spacing)
    assert_equal(solver, theirs(solver, schedule, 12))


def one_too_many(steps: int) -> bool:
    """Where numpy.arange rounds so that diffusers' trailing spacing ends with timestep -1 as an extra step (242, for one)."""
    return len(numpy.arange(1000, 0, -1000 / steps)) > steps


def slack_of(solver: Solver, log_sigmas: numpy.ndarray) -> numpy.ndarray | float:
    """How far timesteps may lie apart: by one where diffusers rounds by a float32 log that differs by CPU.

    Those are the sigmas of Karras within 1e-4 of half-way between two timesteps.
    """
    if not ROWS[solver.name].karras:
        return 1e-3
    t = numpy.interp(numpy.log(solver.plan.sigmas[: len(solver.timesteps)]), log_sigmas, range(1000))
    return numpy.where(abs(t % 1 - 0.5) < 1e-4, 1, 1e-3)


SPACINGS = ["leading", "linspace", "trailing"]


@pytest.mark.parametrize(
    ("name", "spacing"),
    [
        *itertools.product(["ddpm", "dpm++2m", "euler", "euler-karras", "heun"], SPACINGS),
        *itertools.product(["dpm++2m-karras", "unipc-karras"], SPACINGS[1:2]),  # their sigmas span the whole schedule however it is spaced
    ],
)
def test_timesteps_equal_diffusers_at_every_number_of_steps(name, spacing):
    schedule = make_schedule("scaled-linear", "v", steps_offset=0)
    log_sigmas = (1 / schedule.alphas_cumprod.double() - 1).sqrt().log().numpy()
    solver = make_solver(name, schedule, 20, spacing=spacing)
    scheduler = theirs(solver, schedule, 20)
    for steps in [*range(1, 60), *range(60, 1000, 183), 997, 999]:
        scheduler.set_timesteps(steps)
        if spacing == "trailing" and one_too_many(steps):
            continue
        wanted = scheduler.timesteps[:steps] if ROWS[name].method != "heun" else scheduler.timesteps
        ours = make_solver(name, schedule, steps, spacing=spacing)
        assert len(ours.timesteps) == len(wanted)
        assert (abs(numpy.array(ours.timesteps) - wanted.numpy()) <= slack_of(ours, log_sigmas)).all(), steps
        if ROWS[name].sigma_space and ROWS[name].method != "heun":
            numpy.testing.assert_allclose(ours.plan.sigmas[:-1], scheduler.sigmas[:steps].numpy(), rtol=1e-6, atol=1e-12)
