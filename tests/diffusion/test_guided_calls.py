"""Guidance in an interval of the walk (Kynkaanniemi et al. 2024), and by directions that are used again (Lv et al. 2024)."""

import pytest
import torch

from ldmcli.diffusion.catalogue import SCHEDULERS
from ldmcli.diffusion.guidance import guided_calls, reused_calls
from ldmcli.diffusion.midway import begun_midway
from ldmcli.diffusion.noise import StepNoise
from ldmcli.diffusion.schedule import make_schedule
from ldmcli.diffusion.solver import make_solver
from ldmcli.diffusion.start import StartPicture

TIMESTEPS = (999.0, 800.0, 799.9, 500.0, 200.0, 199.9, 0.0)


def test_the_interval_is_one_of_timesteps_with_both_ends():
    assert guided_calls(TIMESTEPS, (0.2, 0.8), 1000) == (False, True, True, True, True, False, False)
    assert guided_calls(TIMESTEPS, None, 1000) == guided_calls(TIMESTEPS, (0.0, 1.0), 1000) == (True,) * 7
    assert guided_calls(TIMESTEPS, (0.85, 0.9), 1000) == (False,) * 7


@pytest.mark.parametrize("name", [row.name for row in SCHEDULERS if row.ours])
def test_halves_of_the_walk_make_a_whole_for_every_solver(name):
    solver = make_solver(name, make_schedule("cosine", "v"), 20)
    early, late = (guided_calls(solver.timesteps, interval, 1000) for interval in ((0.50001, 1.0), (0.0, 0.50001)))
    assert [a + b for a, b in zip(early, late, strict=True)] == [1] * solver.num_calls
    assert early.index(False) == sum(early) > 0  # they come first, and heun's second calls with their step


ON, OFF = True, False


@pytest.mark.parametrize(
    ("guided", "every", "both", "reused"),
    [
        ((ON,) * 5, 1, (ON,) * 5, (OFF,) * 5),
        ((ON,) * 5, 2, (ON, OFF, ON, OFF, ON), (OFF, ON, OFF, ON, OFF)),
        ((ON,) * 4, 9, (ON, OFF, OFF, OFF), (OFF, ON, ON, ON)),
        ((OFF, ON, ON, ON, OFF), 2, (OFF, ON, OFF, ON, OFF), (OFF, OFF, ON, OFF, OFF)),
        ((OFF,) * 3, 2, (OFF,) * 3, (OFF,) * 3),
        ((), 2, (), ()),
    ],
)  # fmt: skip
def test_the_first_of_every_n_guided_calls_has_a_direction_of_its_own(guided, every, both, reused):
    assert reused_calls(guided, every) == (both, reused)


@pytest.mark.parametrize("strength", [1.0, 0.5])
@pytest.mark.parametrize("name", [*(row.name for row in SCHEDULERS if row.ours), "deis", "kdpm2"])
def test_differences_of_v_become_those_of_noise_by_the_signal_at_their_call(name, strength):
    solver = begun_midway(make_solver(name, make_schedule("scaled-linear", "v"), 6), strength)
    noise = torch.zeros(1, 4, 2, 2)
    walk = solver.walk(noise, StepNoise([1], (4, 2, 2)), StartPicture(noise) if strength < 1 else None)
    signals, call = [], next(walk)
    while call:
        signals.append((1 + call.sigma**2) ** -0.5)
        try:
            call = walk.send(noise)
        except StopIteration:
            call = None
    assert solver.noise_shares == pytest.approx(signals, rel=1e-5) and min(signals) < max(signals)
    assert make_solver(name, make_schedule("scaled-linear", "epsilon"), 6).noise_shares[:6] == (1.0,) * 6
