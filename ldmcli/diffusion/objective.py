"""What the network is trained to predict, and how predictions turn into each other. Knows no network."""

import torch
from torch import Tensor

from ldmcli.diffusion.schedule import NoiseSchedule, Prediction

# B pictures, C latent channels, h w latent size


def add_noise(schedule: NoiseSchedule, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t given x_0 (Ho et al. 2020, eq. 4). latents, noise: (B, C, h, w); t: (B,) int64."""
    signal, sigma = schedule.signal_noise(t, latents)
    return signal * latents + sigma * noise


def target(schedule: NoiseSchedule, latents: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """What the network should answer at x_t: the noise, or v = sqrt(ab) eps - sqrt(1 - ab) x_0 (Salimans & Ho 2022, app. D)."""
    if schedule.prediction == "epsilon":
        return noise
    signal, sigma = schedule.signal_noise(t, latents)
    return signal * noise - sigma * latents


def predicted_x0(kind: Prediction, x_t: Tensor, answer: Tensor, signal: float, sigma: float) -> Tensor:
    """The clean latents that the network's answer at x_t = signal x_0 + sigma eps implies. x_t, answer: (B, C, h, w)."""
    return (x_t - sigma * answer) / signal if kind == "epsilon" else signal * x_t - sigma * answer


def predicted_noise(kind: Prediction, x_t: Tensor, answer: Tensor, signal: float, sigma: float) -> Tensor:
    """The noise that the network's answer at x_t = signal x_0 + sigma eps implies. x_t, answer: (B, C, h, w)."""
    return answer if kind == "epsilon" else signal * answer + sigma * x_t


def snr(schedule: NoiseSchedule, t: Tensor) -> Tensor:
    """Signal-to-noise ratio alpha_bar / (1 - alpha_bar) at t: (B,). Returns (B,)."""
    alpha_bar = schedule.alphas_cumprod.to(t.device)[t]
    return alpha_bar / (1 - alpha_bar)


def min_snr_weight(ratio: Tensor, gamma: float, prediction: Prediction) -> Tensor:
    """Loss weight per picture of Min-SNR-gamma (Hang et al. 2023, sec. 3.4). ratio: (B,), > 0. Returns (B,)."""
    clipped = ratio.clamp(max=gamma)
    return clipped / ratio if prediction == "epsilon" else clipped / (ratio + 1)


def denoising_loss(prediction: Tensor, wanted: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error per picture, weighted. prediction, wanted: (B, C, h, w); weight: (B,). Returns a scalar."""
    per_picture = (prediction.float() - wanted).square().mean(dim=(1, 2, 3))
    return (per_picture if weight is None else per_picture * weight).mean()


def draw_timesteps(schedule: NoiseSchedule, count: int, generator: torch.Generator) -> Tensor:
    """(count,) int64, uniform over the training timesteps."""
    return torch.randint(schedule.num_timesteps, (count,), generator=generator)
