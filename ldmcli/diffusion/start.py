"""What a walk starts from: noise alone, or a picture under noise, of which a mask may keep a part. Pure functions of tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from ldmcli.diffusion.grid import signal_noise
from ldmcli.diffusion.noise import StepNoise
from ldmcli.diffusion.plan import Keep, Plan

# B pictures, C latent channels, h w latent size

Scale = tuple[float, float]
"""How much of the clean latents and how much noise there is in x."""


@dataclass(frozen=True, eq=False)
class StartPicture:
    """A picture to start from. latents: (B, C, h, w) or (1, C, h, w), clean and scaled.

    redrawn: (1, 1, h, w), 1 where the picture is drawn anew and 0 where it stays; None: all of it is drawn anew.
    """

    latents: Tensor
    redrawn: Tensor | None = None

    def to(self, device: torch.device) -> "StartPicture":
        """The same there."""
        return StartPicture(self.latents.to(device), None if self.redrawn is None else self.redrawn.to(device))


@dataclass(frozen=True, eq=False)
class Start:
    """Everything that a batch starts from. noise: (B, C, h, w) float32 standard normal; step_noise: for stochastic solvers."""

    noise: Tensor
    step_noise: StepNoise | None = None
    picture: StartPicture | None = None

    def to(self, device: torch.device) -> "Start":
        """The same there; step noise is drawn on the CPU and moved step by step."""
        return Start(self.noise.to(device), self.step_noise, self.picture and self.picture.to(device))


def noisy(latents: Tensor, noise: Tensor, scale: Scale) -> Tensor:
    """Clean latents under noise, (B, C, h, w): what a walk in the middle has in its hands (Meng et al. 2021, SDEdit)."""
    signal, sigma = scale
    return signal * latents + sigma * noise


def call_scales(plan: Plan, timesteps: Sequence[float], *, twice: bool, unit_variance: bool) -> list[Scale]:
    """How much picture and how much noise x holds at every call, in a solver's own scale. timesteps: of the calls.

    twice: every step but the last makes two calls; unit_variance: the state has it although the plan is one of sigmas.
    """
    if not plan.sigmas:
        alpha_bars = plan.schedule.alphas_cumprod.tolist()
        return [(sqrt(alpha_bars[int(t)]), sqrt(1 - alpha_bars[int(t)])) for t in timesteps]
    first, *others = plan.sigmas[:-1]
    sigmas = [first, *(sigma for sigma in others for _ in range(2 if twice else 1))]
    return [signal_noise(sigma) if unit_variance else (1.0, sigma) for sigma in sigmas]


def keeping(picture: StartPicture, noise: Tensor, scales: Sequence[Scale]) -> Keep:
    """What puts the part that stays back after every step, under as much of the first noise as the step has left; clean at the end.

    This is how diffusers inpaints with a U-Net that was not trained for it. scales: of x in the solver's own scale, one a call.
    """
    redrawn = picture.redrawn
    assert redrawn is not None

    def keep(x: Tensor, call: int) -> Tensor:
        stays = noisy(picture.latents, noise, scales[call]) if call < len(scales) else picture.latents
        return (1 - redrawn) * stays + redrawn * x

    return keep
