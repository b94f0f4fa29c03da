"""What validation compares with, and at which timesteps."""

import pytest
import torch

from ldmcli.diffusion.objective import add_noise, by_quartile, draw_timesteps, spread_timesteps, squared_error, target, variance_only_loss
from ldmcli.diffusion.schedule import make_schedule


@pytest.mark.parametrize("kind", ["epsilon", "v"])
def test_no_scale_of_the_input_beats_the_loss_of_knowing_the_variance_alone(kind):
    schedule, generator = make_schedule("cosine", kind), torch.Generator().manual_seed(0)
    t = torch.tensor([20, 300, 600, 950])
    latents, noise = torch.randn(2, 4, 64, 32, 32, generator=generator)
    noisy, wanted = add_noise(schedule, latents, noise, t), target(schedule, latents, noise, t)
    scales = (noisy * wanted).sum(dim=(1, 2, 3)) / noisy.square().sum(dim=(1, 2, 3))  # least squares
    best = squared_error(scales.view(-1, 1, 1, 1) * noisy, wanted)
    torch.testing.assert_close(best, variance_only_loss(schedule, t), rtol=0.03, atol=0.001)


def test_the_timesteps_of_validation_fill_every_quarter_alike():
    schedule = make_schedule("cosine", "v")
    t = spread_timesteps(schedule, 256, torch.Generator().manual_seed(3))
    assert (t * 4 // 1000).bincount().tolist() == [64] * 4 and t.min() < 4 and t.max() > 995
    assert by_quartile((t * 4 // 1000).float(), t, 1000) == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("shift", [0.5, 2.0, 4.0])
def test_shifted_timesteps_are_drawn_by_the_closed_form(shift):
    drawn = draw_timesteps(make_schedule("cosine", "v"), 200_000, torch.Generator().manual_seed(0), shift)
    assert drawn.min() >= 0 and drawn.max() <= 999
    for place in (0.1, 0.5, 0.9):  # u below which the timestep is: the inverse of s u / (1 + (s - 1) u)
        wanted = place / (shift + (1 - shift) * place)
        assert (drawn < 1000 * place).float().mean().item() == pytest.approx(wanted, abs=0.005)
