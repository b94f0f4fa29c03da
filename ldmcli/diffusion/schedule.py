"""Noise schedules: how much of the picture and how much noise there is at each of the training timesteps."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from ldmcli.errors import LdmError

Prediction = Literal["epsilon", "v"]

# alpha_bar: share of the picture's variance left at a timestep; sigma = sqrt((1 - alpha_bar) / alpha_bar)


def cosine_betas(count: int) -> Tensor:
    """Betas of the cosine schedule (Nichol & Dhariwal 2021, eq. 17), clipped at 0.999. Returns (count,) float32."""

    def alpha_bar(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    # float64 throughout, rounded once at the end: bit-equal to diffusers' squaredcos_cap_v2
    betas = [min(1 - alpha_bar((i + 1) / count) / alpha_bar(i / count), 0.999) for i in range(count)]
    return torch.tensor(betas, dtype=torch.float32)


def scaled_linear_betas(count: int, start: float = 0.00085, end: float = 0.012) -> Tensor:
    """Squares of evenly spaced roots: the schedule of Stable Diffusion. Returns (count,) float32."""
    return torch.linspace(start**0.5, end**0.5, count, dtype=torch.float32) ** 2


def linear_betas(count: int, start: float = 1e-4, end: float = 0.02) -> Tensor:
    """Evenly spaced betas (Ho et al. 2020, sec. 4). Returns (count,) float32."""
    return torch.linspace(start, end, count, dtype=torch.float32)


def zero_terminal(betas: Tensor) -> Tensor:
    """Betas whose last alpha_bar is exactly 0 (Lin et al. 2024, algorithm 1): the last input is noise alone. (count,). Returns (count,)."""
    root = torch.cumprod(1.0 - betas, dim=0).sqrt()
    first, last = root[0].clone(), root[-1].clone()
    root = (root - last) * (first / (first - last))
    bars = root**2
    alphas = torch.cat([bars[:1], bars[1:] / bars[:-1]])
    return 1 - alphas


LEAST_ALPHA_BAR = 2.0**-24
"""Stands for 0, as in diffusers' Euler and DPM-Solver: solvers in sigma or log SNR divide by it. A picture cannot show it."""

BETA_SCHEDULES = {"cosine": "squaredcos_cap_v2", "scaled-linear": "scaled_linear", "linear": "linear"}
"""Our names and the names that scheduler_config.json uses."""


@dataclass(frozen=True, eq=False)
class NoiseSchedule:
    """The forward process and what the network was trained to predict.

    betas, alphas_cumprod: (T,) float32. steps_offset, set_alpha_to_one and file_spacing are what the model's scheduler file says.
    """

    name: str
    betas: Tensor
    prediction: Prediction
    steps_offset: int = 0
    set_alpha_to_one: bool = False
    file_spacing: str | None = None
    zero_snr: bool = False
    beta_range: tuple[float, float] | None = None
    """First and last beta of a linear or scaled-linear schedule, before zero_snr; None: what `make_schedule` takes."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "alphas_cumprod", torch.cumprod(1.0 - self.betas, dim=0))
        if self.zero_snr:
            self.alphas_cumprod[-1] = LEAST_ALPHA_BAR

    alphas_cumprod: Tensor = None  # type: ignore[assignment]  # set from betas

    @property
    def num_timesteps(self) -> int:
        """T, 1000 for all models known here."""
        return len(self.betas)

    def signal_noise(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(alpha_bar), sqrt(1 - alpha_bar) at t: (B,) int64, shaped (B, 1, 1, 1) to multiply `like` (B, C, h, w)."""
        alpha_bar = self.alphas_cumprod.to(like.device)[t].view(-1, *[1] * (like.dim() - 1))
        return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()

    def to_file(self) -> dict[str, Any]:
        """scheduler_config.json for diffusers, with everything stated that diffusers would otherwise guess."""
        start, end = self.beta_range or {"scaled-linear": (0.00085, 0.012)}.get(self.name, (1e-4, 0.02))
        return {
            "_class_name": "DDIMScheduler",
            "_diffusers_version": "0.42.1",
            "num_train_timesteps": self.num_timesteps,
            "beta_schedule": BETA_SCHEDULES[self.name],
            "beta_start": start,
            "beta_end": end,
            "prediction_type": "v_prediction" if self.prediction == "v" else "epsilon",
            "clip_sample": False,
            "thresholding": False,
            "set_alpha_to_one": self.set_alpha_to_one,
            "steps_offset": self.steps_offset,
            "timestep_spacing": self.file_spacing or "leading",
            **({"rescale_betas_zero_snr": True} if self.zero_snr else {}),
        }


def make_schedule(name: str, prediction: Prediction, *, count: int = 1000, steps_offset: int = 1, zero_snr: bool = False) -> NoiseSchedule:
    """A schedule to train on: cosine, scaled-linear or linear; zero_snr ends it in noise alone, and sampling must then begin there."""
    makers = {"cosine": cosine_betas, "scaled-linear": scaled_linear_betas, "linear": linear_betas}
    betas = makers[name](count)
    schedule = NoiseSchedule(name, betas, prediction, steps_offset=steps_offset)
    return ended_in_noise(schedule) if zero_snr else schedule


def ended_in_noise(schedule: NoiseSchedule) -> NoiseSchedule:
    """The schedule with zero terminal SNR, to be sampled with trailing spacing, which begins at its end."""
    return replace(schedule, betas=zero_terminal(schedule.betas), file_spacing="trailing", zero_snr=True)


def schedule_from_file(config: dict[str, Any]) -> NoiseSchedule:
    """The schedule that a model's scheduler_config.json describes. Raises LdmError where it cannot be honoured."""
    ours = {theirs: name for name, theirs in BETA_SCHEDULES.items()}
    beta_schedule = config.get("beta_schedule", "linear")
    kinds: dict[str, Prediction] = {"epsilon": "epsilon", "v_prediction": "v"}
    kind = config.get("prediction_type", "epsilon")
    zero_snr = bool(config.get("rescale_betas_zero_snr"))
    if (
        beta_schedule not in ours
        or kind not in kinds
        or config.get("trained_betas") is not None
        or (zero_snr and kind == "epsilon")  # noise alone says nothing about the picture by its noise
    ):
        raise LdmError(
            f"scheduler_config.json: beta_schedule = {beta_schedule!r}, prediction_type = {kind!r}, "
            f"trained_betas = {config.get('trained_betas')!r}, rescale_betas_zero_snr = {config.get('rescale_betas_zero_snr')!r}; "
            "this combination is not supported.",
            hint=f"Supported: beta_schedule {', '.join(ours)}; prediction_type epsilon, v_prediction.",
        )
    name, count = ours[beta_schedule], config.get("num_train_timesteps", 1000)
    start, end = config.get("beta_start", 1e-4), config.get("beta_end", 0.02)
    betas = {"cosine": lambda: cosine_betas(count), "scaled-linear": lambda: scaled_linear_betas(count, start, end)}.get(
        name, lambda: linear_betas(count, start, end)
    )()
    return NoiseSchedule(
        name,
        zero_terminal(betas) if zero_snr else betas,
        kinds[kind],
        steps_offset=config.get("steps_offset", 0),
        set_alpha_to_one=config.get("set_alpha_to_one", True),
        file_spacing=config.get("timestep_spacing"),
        zero_snr=zero_snr,
        beta_range=None if name == "cosine" else (start, end),
    )
