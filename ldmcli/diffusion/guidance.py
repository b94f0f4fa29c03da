"""Classifier-free guidance: two predictions become one."""

from collections.abc import Sequence

from torch import Tensor

# B pictures, C latent channels, h w latent size


def guide(uncond: Tensor, cond: Tensor, scale: float) -> Tensor:
    """Away from `uncond`, towards `cond`; scale 1 gives `cond` (Ho & Salimans 2022). All (B, C, h, w).

    Their eq. 6 with scale = 1 + w, as Stable Diffusion counts it.
    """
    return uncond + scale * (cond - uncond)


def guided_calls(timesteps: Sequence[float], interval: tuple[float, float] | None, num_timesteps: int) -> tuple[bool, ...]:
    """At which calls to guide: those whose timestep lies in the interval, both ends included (Kynkaanniemi et al. 2024).

    interval: as shares of num_timesteps, from 0 for a clean picture to 1 for pure noise; None: at all of them.
    """
    low, high = interval or (0.0, 1.0)
    return tuple(low * num_timesteps <= t <= high * num_timesteps for t in timesteps)


def reused_calls(guided: Sequence[bool], every: int) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    """Of the guided calls, which evaluate both answers, one in `every` from the first on, and which use the direction again.

    The direction is cond - uncond of the predicted noise, of the last call that evaluated both, as in FasterCache's CFG-Cache (Lv et al.
    2024) without its weights of low and high frequencies; LinearAG (Castillo et al. 2023) fits uncond to more of the past.
    """
    places = [place for place, on in enumerate(guided) if on]
    both = set(places[::every])
    return tuple(i in both for i in range(len(guided))), tuple(on and i not in both for i, on in enumerate(guided))


def rescale(guided: Tensor, cond: Tensor, phi: float) -> Tensor:
    """Give the guided prediction the spread of `cond`, mixed in by phi in 0 .. 1 (Lin et al. 2023, sec. 3.4).

    guided, cond: (B, C, h, w); the standard deviation is taken per picture. Against over-exposure at high scales.
    """
    per_picture = tuple(range(1, cond.dim()))
    spread_cond = cond.std(dim=per_picture, keepdim=True)  # (B, 1, 1, 1)
    spread_guided = guided.std(dim=per_picture, keepdim=True)
    return phi * (guided * (spread_cond / spread_guided)) + (1 - phi) * guided
