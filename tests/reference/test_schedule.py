"""Noise schedules and the training objective against diffusers: bit-equal where both round the same way."""

import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.training_utils import compute_snr

from ldmcli.diffusion.objective import (
    add_noise,
    denoising_loss,
    draw_timesteps,
    min_snr_weight,
    predicted_noise,
    predicted_x0,
    snr,
    target,
)
from ldmcli.diffusion.schedule import BETA_SCHEDULES, make_schedule, schedule_from_file
from ldmcli.errors import LdmError

RANGES = {"cosine": {}, "linear": {}, "scaled-linear": {"beta_start": 0.00085, "beta_end": 0.012}}


def theirs(name, **settings):
    return DDPMScheduler(beta_schedule=BETA_SCHEDULES[name], **RANGES[name], **settings)


@pytest.fixture(params=list(BETA_SCHEDULES))
def name(request):
    return request.param


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    latents, noise = torch.randn(5, 4, 8, 8, generator=generator), torch.randn(5, 4, 8, 8, generator=generator)
    return latents, noise, torch.tensor([0, 1, 400, 998, 999])


def test_betas_and_alphas_cumprod_are_bit_equal_to_diffusers(name):
    ours, wanted = make_schedule(name, "v"), theirs(name)
    assert torch.equal(ours.betas, wanted.betas)
    assert torch.equal(ours.alphas_cumprod, wanted.alphas_cumprod)


@pytest.mark.parametrize("count", [10, 250, 1000])
def test_cosine_betas_are_the_float64_formula_rounded_once(count):
    def alpha_bar(u):
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    exact = [min(1 - alpha_bar((i + 1) / count) / alpha_bar(i / count), 0.999) for i in range(count)]
    assert torch.equal(make_schedule("cosine", "v", count=count).betas, torch.tensor(exact, dtype=torch.float64).float())


def test_noised_latents_equal_diffusers(name, batch):
    latents, noise, t = batch
    torch.testing.assert_close(
        add_noise(make_schedule(name, "v"), latents, noise, t), theirs(name).add_noise(latents, noise, t), rtol=1e-4, atol=1e-5
    )


def test_the_v_target_equals_diffusers_and_the_epsilon_target_is_the_noise(name, batch):
    latents, noise, t = batch
    torch.testing.assert_close(target(make_schedule(name, "v"), latents, noise, t), theirs(name).get_velocity(latents, noise, t))
    assert target(make_schedule(name, "epsilon"), latents, noise, t) is noise


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_x0_and_noise_come_back_from_the_target(prediction, batch):
    latents, noise, t = batch
    schedule = make_schedule("scaled-linear", prediction)
    x, answer = add_noise(schedule, latents, noise, t), target(schedule, latents, noise, t)
    for i in range(4):
        signal, sigma = (float(part.flatten()[i]) for part in schedule.signal_noise(t, latents))
        torch.testing.assert_close(predicted_x0(prediction, x[i], answer[i], signal, sigma), latents[i], atol=5e-5, rtol=0)
        torch.testing.assert_close(predicted_noise(prediction, x[i], answer[i], signal, sigma), noise[i], atol=5e-5, rtol=0)


def test_min_snr_weights_equal_the_published_formula_on_diffusers_snr(batch):
    t = batch[2]
    schedule, wanted = make_schedule("scaled-linear", "v"), compute_snr(theirs("scaled-linear"), batch[2])
    torch.testing.assert_close(snr(schedule, t), wanted)
    torch.testing.assert_close(min_snr_weight(wanted, 5.0, "epsilon"), wanted.clamp(max=5) / wanted)
    torch.testing.assert_close(min_snr_weight(wanted, 5.0, "v"), wanted.clamp(max=5) / (wanted + 1))


def test_the_loss_is_the_mean_squared_error_and_weights_count_per_picture(batch):
    latents, noise, _ = batch
    torch.testing.assert_close(denoising_loss(latents, noise), torch.nn.functional.mse_loss(latents, noise))
    weight = torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0])
    torch.testing.assert_close(denoising_loss(latents, noise, weight), (latents[0] - noise[0]).square().mean() / 5)


def test_timesteps_are_uniform_over_all_of_them():
    drawn = draw_timesteps(make_schedule("cosine", "v"), 100_000, torch.Generator().manual_seed(0))
    assert drawn.min() == 0 and drawn.max() == 999
    assert torch.histc(drawn.float(), 10).sub(10_000).abs().max() < 400  # 4 standard deviations


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
def test_the_scheduler_file_comes_back_as_the_same_schedule_in_ours_and_in_diffusers(name, prediction, tmp_path):
    schedule = make_schedule(name, prediction)
    again = schedule_from_file(schedule.to_file())
    assert torch.equal(again.betas, schedule.betas) and again.prediction == prediction and again.steps_offset == schedule.steps_offset
    loaded = DDIMScheduler.from_config(schedule.to_file())
    assert torch.equal(loaded.betas, schedule.betas)
    assert (loaded.config.clip_sample, loaded.config.set_alpha_to_one) == (False, False)


@pytest.mark.parametrize(
    "change",
    [
        {"beta_schedule": "sigmoid"},
        {"prediction_type": "sample"},
        {"trained_betas": [0.1, 0.2]},
        {"rescale_betas_zero_snr": True, "prediction_type": "epsilon"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_schedule_that_cannot_be_honoured_is_an_error_that_names_it(change):
    with pytest.raises(LdmError, match=next(iter(change))):
        schedule_from_file({**make_schedule("cosine", "v").to_file(), **change})
