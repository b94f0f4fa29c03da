"""What a U-Net is shown in a step: everything random of a batch, drawn for all of it at once, so that any split of it agrees."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ldmcli.data.row_sources import RowSource, draw_views
from ldmcli.diffusion.objective import add_noise, target
from ldmcli.diffusion.schedule import NoiseSchedule
from ldmcli.networks.attention import TextContext
from ldmcli.training.order import pick

# B pictures of a batch, b of a share of it, C latent channels, h w latent size, L tokens, D text width

Timesteps = Callable[[NoiseSchedule, int, torch.Generator], Tensor]
"""How the timesteps of a batch are drawn."""


@dataclass(frozen=True)
class CachedData:
    """What the loop draws from, fp16: memory-mapped, or computed on demand.

    The views of picture n are rows n V to n V + V - 1 of mean and std.
    mean, std: (N V, C, h, w) of the scaled posterior, without std the mean is all that is shown; states: (M, L, D) of every distinct
    caption, the empty one last, or where the text tower trains along (M, L) int32, their tokens;
    mask: (M, L) bool or None; first, counts: (N,) int64, the picture's captions are caption_rows[first : first + counts].
    """

    mean: RowSource
    std: RowSource | None
    states: RowSource
    mask: RowSource | None
    caption_rows: RowSource
    first: RowSource
    counts: RowSource
    views: int = 1


@dataclass(frozen=True)
class Caches:
    """held_out: the held-out pictures alone, in their order, where they are not to be looked at as `train` has them; else None."""

    train: CachedData
    held_out: CachedData | None = None


@dataclass(frozen=True)
class Batch:
    """captions: (B,) rows of Cached.states; seen: (B,) rows of Cached.mean; posterior_noise, noise: (B, C, h, w), the one for
    the latents and the one to be added;
    t: (B,) int64."""

    captions: Tensor
    seen: Tensor
    posterior_noise: Tensor
    noise: Tensor
    t: Tensor

    def share(self, part: slice) -> "Batch":
        """Some of its pictures."""
        return Batch(self.captions[part], self.seen[part], self.posterior_noise[part], self.noise[part], self.t[part])


def draw_batch(
    cached: CachedData, rows: Tensor, schedule: NoiseSchedule, timesteps: Timesteps, generator: torch.Generator, dropout: float
) -> Batch:
    """A whole batch. rows: (B,) int64, numbers of pictures; dropout: share of captions that are replaced by the empty one."""
    captions = draw_captions(cached, rows, generator, dropout)
    shape = (len(rows), *cached.mean.shape[1:])
    posterior_noise, noise = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
    t = timesteps(schedule, len(rows), generator)
    return Batch(captions, draw_views(rows, cached.views, generator), posterior_noise, noise, t)


def draw_captions(cached: CachedData, rows: Tensor, generator: torch.Generator, dropout: float) -> Tensor:
    """One caption of each picture, the empty one with probability `dropout`. rows: (B,). Returns (B,) rows of cached.states."""
    captions = cached.caption_rows[cached.first[rows] + pick(cached.counts[rows], generator)]
    dropped = torch.rand(len(rows), generator=generator) < dropout
    return captions.masked_fill(dropped, len(cached.states) - 1)


def predict(network: Any, cached: CachedData, batch: Batch, schedule: NoiseSchedule, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """What the network answers, what it should, and when: (b, C, h, w) twice and (b,) int64."""
    noise, t = batch.noise.to(device), batch.t.to(device)
    latents = cached.mean[batch.seen].float()
    if cached.std is not None:
        latents = latents + cached.std[batch.seen].float() * batch.posterior_noise
    mask = None if cached.mask is None else cached.mask[batch.captions].to(device)
    text = cached.states[batch.captions].to(device)
    context = TextContext(text.float() if text.is_floating_point() else text, mask)
    latents = latents.to(device)
    noisy = add_noise(schedule, latents, noise, t).contiguous(memory_format=torch.channels_last)
    return network(noisy, t, context), target(schedule, latents, noise, t), t


def shares(count: int, at_once: int) -> list[slice]:
    """`count` things cut into parts of `at_once`, the last one shorter."""
    return [slice(first, min(first + at_once, count)) for first in range(0, count, at_once)]
