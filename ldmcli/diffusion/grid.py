"""Where a solver stops on its way: timesteps and sigmas, as diffusers lays them out. Knows no method and no network.

Everything here is plain Python floats, worked out once before the walk; sigma = sqrt((1 - alpha_bar) / alpha_bar).
"""

import math
from bisect import bisect_right
from collections.abc import Sequence

import torch

from ldmcli.config.sampling import Spacing
from ldmcli.diffusion.schedule import NoiseSchedule

SIGMA_CLIP = math.exp(5.1)
"""164.02: where sigma solvers start when a schedule goes further (lambda = -5.1, the value diffusers advises for cosine)."""


def training_sigmas(schedule: NoiseSchedule) -> list[float]:
    """Sigma of every training timestep, rising: the float32 values diffusers uses."""
    sigmas: list[float] = (((1 - schedule.alphas_cumprod) / schedule.alphas_cumprod) ** 0.5).tolist()
    return sigmas


def float32(values: Sequence[float]) -> list[float]:
    """The nearest float32 of each, because diffusers stores its grids so."""
    nearest: list[float] = torch.tensor(values, dtype=torch.float64).float().tolist()
    return nearest


def spread(spacing: Spacing, top: int, steps: int, offset: int, *, spare: int = 0, whole: bool = True) -> list[float]:
    """`steps` timesteps, falling, out of 0 .. top - 1 (Lin et al. 2023, table 2).

    spare 1 lays out one point more and drops the lowest, as the multistep solvers do; whole False leaves linspace fractional.
    Where there are more steps than timesteps the points become fractional, so that no two are equal.
    """
    points = steps + spare
    if spacing == "trailing":
        gap = top / steps
        delta = (top - gap) - top  # not -gap: numpy.arange rounds so, and a rounded .5 depends on it
        falling = [top + i * delta - 1 if gap < 1 else round(top + i * delta) - 1.0 for i in range(steps)]
    elif spacing == "leading":
        gap = top // points or top / points
        last = (points - 1) * gap
        falling = [i * gap + min(offset, top - 1 - last) for i in reversed(range(points))]
    else:
        gap = (top - 1) / max(points - 1, 1)
        falling = [float(round(i * gap)) if whole and gap >= 1 else i * gap for i in reversed(range(points))]
    return [max(float(t), 0.0) for t in falling[:steps]]


def signal_noise(sigma: float) -> tuple[float, float]:
    """The two scales at sigma = noise / signal whose squares add up to one."""
    signal = 1 / math.sqrt(sigma**2 + 1)
    return signal, sigma * signal


def sigma_at(t: float, sigmas: Sequence[float]) -> float:
    """Sigma between training timesteps, linear in t and held constant outside."""
    low = min(max(int(t), 0), len(sigmas) - 2)
    share = min(max(t - low, 0.0), 1.0)
    return sigmas[low] + share * (sigmas[low + 1] - sigmas[low])


def timestep_at(sigma: float, log_sigmas: Sequence[float]) -> float:
    """The fractional timestep of a sigma, linear in log sigma and held constant outside."""
    log_sigma = math.log(sigma)
    low = min(max(bisect_right(log_sigmas, log_sigma) - 1, 0), len(log_sigmas) - 2)
    share = (log_sigma - log_sigmas[low]) / (log_sigmas[low + 1] - log_sigmas[low])
    return low + min(max(share, 0.0), 1.0)


def karras_sigmas(sigma_max: float, sigma_min: float, steps: int) -> list[float]:
    """Sigmas evenly spaced in sigma^(1/7), falling (Karras et al. 2022, eq. 5 with rho = 7)."""
    high, low = sigma_max ** (1 / 7), sigma_min ** (1 / 7)
    return [(high + i / max(steps - 1, 1) * (low - high)) ** 7 for i in range(steps)]
