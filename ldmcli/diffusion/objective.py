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


def squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each picture. prediction, wanted: (B, C, h, w). Returns (B,)."""
    return (prediction.float() - target).square().mean(dim=(1, 2, 3))


def denoising_loss(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error per picture, weighted. prediction, wanted: (B, C, h, w); weight: (B,). Returns a scalar."""
    per_picture = squared_error(prediction, target)
    return (per_picture if weight is None else per_picture * weight).mean()


def variance_only_loss(schedule: NoiseSchedule, t: Tensor) -> Tensor:
    """The least squared error of a predictor that knows only that latents have unit variance. t: (B,). Returns (B,).

    The best linear guess of the noise is sqrt(1 - ab) x_t, which leaves ab; v is uncorrelated with x_t, so 0 is best and leaves 1.
    """
    return schedule.alphas_cumprod.to(t.device)[t] if schedule.prediction == "epsilon" else torch.ones(len(t), device=t.device)


def draw_timesteps(schedule: NoiseSchedule, count: int, generator: torch.Generator, shift: float = 1.0) -> Tensor:
    """(count,) int64, uniform over the training timesteps, or with u uniform at s u / (1 + (s - 1) u) of them for a shift s: more often
    noisy ones above 1, less often below it (Esser et al. 2024, "Scaling rectified flow transformers", eq. 23)."""
    if shift == 1:
        return torch.randint(schedule.num_timesteps, (count,), generator=generator)
    place = torch.rand(count, generator=generator, dtype=torch.float64)
    place = shift * place / (1 + (shift - 1) * place)
    return (place * schedule.num_timesteps).long().clamp(max=schedule.num_timesteps - 1)


def spread_timesteps(schedule: NoiseSchedule, count: int, generator: torch.Generator) -> Tensor:
    """(count,) int64, one drawn from each of `count` equal parts of the training timesteps, ascending: every quartile gets its share."""
    places = (torch.arange(count) + torch.rand(count, generator=generator, dtype=torch.float64)) / count
    return (places * schedule.num_timesteps).long().clamp(max=schedule.num_timesteps - 1)


def by_quartile(values: Tensor, t: Tensor, count: int) -> list[float]:
    """Means of values (B,) over the four quarters of `count` timesteps, from the least noisy; NaN for an empty one. t: (B,) int64."""
    quarter = t * 4 // count
    return [values[quarter == q].mean().item() for q in range(4)]
