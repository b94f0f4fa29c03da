"""What a solver decides: spacing, calls, the sigma clip, notes; and that it ends in numbers whatever the step count."""

import dataclasses
import itertools
import json
import math
from itertools import pairwise

import pytest
import torch

from ldmcli.diffusion.catalogue import SCHEDULERS
from ldmcli.diffusion.noise import WHOLE, StepNoise, noise_for, slerp
from ldmcli.diffusion.plan import Call
from ldmcli.diffusion.schedule import NoiseSchedule, make_schedule
from ldmcli.diffusion.solver import Solver, make_solver
from ldmcli.errors import UsageError

NAMES = [row.name for row in SCHEDULERS if row.ours]
SIGMA_NAMES = [row.name for row in SCHEDULERS if row.ours and row.sigma_space]
SEEDS, SHAPE = (1, 2), (4, 4, 4)


def walk(solver: Solver, dtype: torch.dtype = torch.float32) -> tuple[list[Call], torch.Tensor]:
    """All calls and the final latents, with a network that is smooth in x and t and answers v."""
    coroutine = solver.walk(noise_for(SEEDS, SHAPE).to(dtype), StepNoise(SEEDS, SHAPE))
    calls = [next(coroutine)]
    while True:
        x, bias = calls[-1].model_input, math.sin(calls[-1].timestep / 200)
        try:
            calls.append(coroutine.send(torch.add(0.7 * x, x.roll(1, 1), alpha=0.2).add_(bias).tanh_()))
        except StopIteration as end:
            return calls, end.value


@pytest.fixture(params=["scaled-linear", "cosine"])
def schedule(request) -> NoiseSchedule:
    return make_schedule(request.param, "v")


@pytest.mark.parametrize("name", NAMES)
def test_calls_are_counted_before_they_are_made(name, schedule):
    (row,) = (row for row in SCHEDULERS if row.name == name)
    for steps in (1, 2, 7):
        solver = make_solver(name, schedule, steps)
        calls, _ = walk(solver)
        assert len(calls) == solver.num_calls == row.calls(steps)
        assert [call.index for call in calls] == list(range(len(calls)))
        assert tuple(call.timestep for call in calls) == solver.timesteps


FEW = list(itertools.product(["scaled-linear", "cosine"], NAMES, [1, 2, 3]))
MANY = [("cosine", name, 999) for name in NAMES] + [("scaled-linear", name, 999) for name in NAMES if "karras" in name]
"""The rest of them are compared with diffusers'."""


@pytest.mark.parametrize(("schedule", "name", "steps"), FEW + MANY, indirect=["schedule"])
def test_any_number_of_steps_ends_in_finite_latents(name, schedule, steps):
    _, latents = walk(make_solver(name, schedule, steps))
    assert latents.isfinite().all()
    assert latents.shape == (len(SEEDS), *SHAPE)


@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
@pytest.mark.parametrize("name", NAMES)
def test_no_stop_is_visited_twice_even_with_more_steps_than_timesteps(name, schedule, spacing):
    if spacing == "linspace" and name in ("ddim", "pndm"):
        pytest.skip("refused")
    for steps in (500, 995, 996, 999):
        plan = make_solver(name, schedule, steps, spacing=spacing).plan
        stops = plan.sigmas or plan.timesteps
        assert all(a > b for a, b in pairwise(stops)), steps
        assert 0 <= min(plan.timesteps) <= max(plan.timesteps) <= 999


def test_ddpm_can_take_every_one_of_the_thousand_timesteps(schedule):
    solver = make_solver("ddpm", schedule, 1000)
    assert solver.timesteps == tuple(range(999, -1, -1))
    assert walk(solver)[1].isfinite().all()
    with pytest.raises(UsageError, match="1 to 999 steps, got 1000"):
        make_solver("ddim", schedule, 1000)


@pytest.mark.parametrize("says", [None, "leading", "linspace", "trailing"])
def test_spacing_follows_the_file_only_where_it_says_trailing(says):
    schedule = dataclasses.replace(make_schedule("scaled-linear", "epsilon"), file_spacing=says)
    for row in (row for row in SCHEDULERS if row.ours):
        own = "leading" if row.method in ("ddim", "ddpm", "pndm") else "linspace"
        solver = make_solver(row.name, schedule, 20)
        assert solver.settings["spacing"] == ("trailing" if says == "trailing" else own)
        assert make_solver(row.name, schedule, 20, spacing="leading").settings["spacing"] == "leading"


def test_leading_uses_the_models_own_offset():
    for offset in (0, 1):
        schedule = make_schedule("scaled-linear", "epsilon", steps_offset=offset)
        assert make_solver("ddim", schedule, 20).timesteps[:2] == (950 + offset, 900 + offset)


@pytest.mark.parametrize("name", ["ddim", "pndm"])
def test_linspace_is_refused_where_it_would_be_wrong(name, schedule):
    with pytest.raises(UsageError, match="linspace") as caught:
        make_solver(name, schedule, 20, spacing="linspace")
    assert "--spacing" in caught.value.hint


def test_an_unknown_spacing_is_a_usage_error(schedule):
    with pytest.raises(UsageError, match="'karras'"):
        make_solver("euler", schedule, 20, spacing="karras")


@pytest.mark.parametrize("name", SIGMA_NAMES)
def test_cosine_starts_at_the_clip_says_so_and_can_be_told_not_to(name):
    schedule = make_schedule("cosine", "v")
    clipped, whole = make_solver(name, schedule, 20), make_solver(name, schedule, 20, sigma_clip=False)
    assert clipped.timesteps[0] == pytest.approx(995)
    assert 160 < clipped.settings["sigma_max"] < 164.1
    assert clipped.settings["sigma_clipped"] and not whole.settings["sigma_clipped"]
    assert "--no-sigma-clip" in clipped.notes[0] and not whole.notes
    assert whole.settings["sigma_max"] > 20_000


@pytest.mark.parametrize("name", NAMES)
def test_scaled_linear_is_never_clipped(name):
    solver = make_solver(name, make_schedule("scaled-linear", "v"), 20)
    assert not solver.settings["sigma_clipped"] and not solver.notes


def test_a_low_first_timestep_is_told(schedule):
    assert "first timestep is 600 of 1000" in make_solver("ddim", schedule, 600).notes[-1]
    assert "first timestep is 0 of 1000" in make_solver("euler", make_schedule("scaled-linear", "v"), 1).notes[-1]


@pytest.mark.parametrize("steps", [10, 30])
@pytest.mark.parametrize("name", [name for name in SIGMA_NAMES if "karras" in name or name == "heun"])
def test_heun_and_karras_on_cosine_agree_with_a_float64_walk(name, steps):
    """Where diffusers crashes or loses digits there is no reference but ourselves with twice the digits."""
    solver = make_solver(name, make_schedule("cosine", "v"), steps)
    _, single = walk(solver)
    _, double = walk(solver, torch.float64)
    assert (single - double).abs().max() <= 1e-4 * max(1.0, double.abs().max().item())


@pytest.mark.parametrize("name", [name for name in SIGMA_NAMES if "karras" in name])
def test_karras_on_cosine_without_the_clip_is_finite(name):
    schedule = make_schedule("cosine", "v")
    for steps in (1, 2, 20, 100):
        assert walk(make_solver(name, schedule, steps, sigma_clip=False))[1].isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_always_shown_unit_variance(name, schedule):
    """signal^2 + noise^2 = 1, so pure noise of any size comes in with a standard deviation near 1."""
    calls, _ = walk(make_solver(name, schedule, 20))
    assert calls[0].model_input.std().item() == pytest.approx(noise_for(SEEDS, SHAPE).std().item(), rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_settings_can_be_recorded_as_json(name, schedule):
    settings = make_solver(name, schedule, 20).settings
    assert json.loads(json.dumps(settings)) == settings
    assert {"class", "spacing", "steps", "karras", "order", "prediction", "sigma_min", "sigma_max", "sigma_clipped"} <= set(settings)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_does_not_depend_on_the_batch_it_is_drawn_in(name, schedule):
    solver = make_solver(name, schedule, 5)

    def picture(seeds):
        coroutine = solver.walk(noise_for(seeds, SHAPE), StepNoise(seeds, SHAPE))
        call = next(coroutine)
        while True:
            try:
                call = coroutine.send(torch.tanh(call.model_input))
            except StopIteration as end:
                return end.value

    assert torch.equal(picture([5, 6, 7])[1:2], picture([6]))


def test_noise_is_named_by_its_seed():
    assert torch.equal(noise_for([1, 2, 3], SHAPE)[2:], noise_for([3], SHAPE))
    together, alone = StepNoise([1, 2], SHAPE), StepNoise([2], SHAPE)
    for step in range(3):
        assert torch.equal(together(step)[1:], alone(step))
    assert not torch.equal(StepNoise([1], SHAPE)(0), noise_for([1], SHAPE))


def test_noise_between_two_seeds_lies_on_the_arc_and_is_as_long_as_they_are():
    one, other = noise_for([1, 2], SHAPE)
    assert torch.equal(slerp(one, other, 0, WHOLE), one) and torch.equal(slerp(one, other, 1, WHOLE), other)
    assert torch.equal(slerp(one, one, 0.3, WHOLE), one)
    length, middle = one.norm(), slerp(one, other / other.norm() * one.norm(), 0.5, WHOLE)
    assert middle.norm().item() == pytest.approx(length.item(), rel=1e-5)  # the mean of the two would be shorter by 1 / sqrt(2)
    cosines = [(middle * end).sum() / middle.norm() / end.norm() for end in (one, other)]
    assert cosines[0].item() == pytest.approx(cosines[1].item(), rel=1e-5)


def test_step_noise_between_two_seeds_is_that_of_both():
    plain, mixed, other = StepNoise([1, 2], SHAPE), StepNoise([1, 2], SHAPE, towards={1: (7, 0.25)}), StepNoise([7], SHAPE)
    for step in range(2):
        here, there = plain(step), other(step)
        wanted = torch.stack([here[0], slerp(here[1], there[0], 0.25, WHOLE)])
        assert torch.equal(mixed(step), wanted)
