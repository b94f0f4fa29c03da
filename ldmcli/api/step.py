"""One step of a picture under way."""

from collections.abc import Callable
from functools import cached_property

from PIL import Image
from torch import Tensor

from ldmcli.api.picture import Picture
from ldmcli.diffusion.loop import DenoiseStep

# C latent channels, h w latent size


class Step:
    """One evaluation of the network: what it was handed, what it answered, and the picture that this answer means."""

    def __init__(self, step: DenoiseStep, decode: Callable[[Tensor], Image.Image], finish: Callable[[Tensor], Picture]) -> None:
        """decode: latents to a picture; finish: the final latents to the picture with its record."""
        self._step, self._decode, self._finish = step, decode, finish

    @property
    def index(self) -> int:
        """From 0."""
        return self._step.index

    @property
    def total(self) -> int:
        """Evaluations of the whole walk: as many as steps, more for pndm, heun and other solvers that look twice."""
        return self._step.total

    @property
    def timestep(self) -> float:
        """Of the training schedule: near 1000 almost all is noise, at 0 almost nothing."""
        return self._step.timestep

    @property
    def sigma(self) -> float:
        """Noise over signal at this timestep."""
        return self._step.sigma

    @property
    def latents(self) -> Tensor:
        """(1, C, h, w) float32: the noisy latents as the network was handed them."""
        return self._step.latents

    @property
    def uncond(self) -> Tensor | None:
        """(1, C, h, w): the network's answer for the negative prompt, None where guidance is off.

        With cfg_reuse, where the network was not asked for it: what the direction of the last time it was makes of `cond`.
        """
        return self._step.uncond

    @property
    def cond(self) -> Tensor:
        """(1, C, h, w): the network's answer for the prompt."""
        return self._step.cond

    @property
    def guided(self) -> Tensor:
        """(1, C, h, w): what guidance made of the two."""
        return self._step.guided

    @property
    def denoised_latents(self) -> Tensor:
        """(1, C, h, w): the clean latents that the guided answer implies, the network's guess of the end."""
        return self._step.denoised

    @cached_property
    def denoised(self) -> Image.Image:
        """The same as a picture. Decoded when it is asked for."""
        return self._decode(self._step.denoised)

    @property
    def final(self) -> Tensor | None:
        """(1, C, h, w): the finished latents, in the last step only."""
        return self._step.final

    @cached_property
    def picture(self) -> Picture | None:
        """The finished picture with its record, in the last step only. Decoded when it is asked for."""
        return None if self._step.final is None else self._finish(self._step.final)

    def __repr__(self) -> str:
        return f"Step({self.index + 1} of {self.total}, timestep {self.timestep:g}, sigma {self.sigma:.4g})"
