"""A schedule that ends in noise alone, against diffusers."""

import pytest
import torch
from diffusers import DDIMScheduler

from ldmcli.diffusion.schedule import make_schedule, schedule_from_file


@pytest.mark.parametrize("name", ["cosine", "scaled-linear", "linear"])
def test_the_file_means_the_same_schedule_to_diffusers_and_to_us(name):
    ours = make_schedule(name, "v", zero_snr=True)
    theirs = DDIMScheduler.from_config(ours.to_file())
    assert theirs.alphas_cumprod[-1] == 0 and 0 < ours.alphas_cumprod[-1] < 1e-7
    torch.testing.assert_close(ours.alphas_cumprod[:-1], theirs.alphas_cumprod[:-1], rtol=1e-5, atol=1e-7)
    theirs.set_timesteps(10)
    assert theirs.timesteps[0] == 999
    again = schedule_from_file(ours.to_file())
    assert torch.equal(again.alphas_cumprod, ours.alphas_cumprod) and again.file_spacing == "trailing"
