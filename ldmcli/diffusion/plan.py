"""What a solver knows before it sets out, and what it says to whoever evaluates the network for it."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from torch import Tensor

from ldmcli.diffusion.schedule import NoiseSchedule, Prediction

# B pictures, C latent channels, h w latent size


@dataclass(frozen=True, eq=False)
class Call:
    """The network is to be evaluated at this point."""

    index: int
    timestep: float
    sigma: float
    """Noise over signal at this point."""
    model_input: Tensor
    """(B, C, h, w): x_t with signal^2 + noise^2 = 1, as the network was trained on."""
    sample: Tensor
    """(B, C, h, w): x_t in the solver's own scale."""


Walk = Generator[Call, Tensor, Tensor]
"""Yields a Call, is sent the network's (guided) answer, returns the final latents (B, C, h, w)."""

StepNoiseSource = Callable[[int], Tensor]
"""Step index -> (B, C, h, w) standard normal. Asked at most once a step, in order."""


Keep = Callable[[Tensor, int], Tensor]
"""(x in the solver's own scale, index of the call that will see it, or their number at the end) -> x with what must stay put back."""


@dataclass(frozen=True, eq=False)
class Plan:
    """The stops of a walk: timesteps, one a step; sigmas, one a step and 0 at the end (none where the timesteps are walked)."""

    schedule: NoiseSchedule
    timesteps: tuple[float, ...]
    sigmas: tuple[float, ...]
    skipped: tuple[float, ...] = ()
    """The timesteps of the whole walk that come before these, of one that begins in the middle."""
    keep: Keep | None = None
    """Of a walk that redraws a part of a picture; see `start.keeping`."""

    def stops(self) -> Iterator[tuple[int, float, float, float]]:
        """(step index, timestep, sigma, sigma at the end of the step) of every step."""
        return zip(range(self.steps), self.timesteps, self.sigmas, self.sigmas[1:], strict=False)

    @property
    def steps(self) -> int:
        """Of the walk."""
        return len(self.timesteps)

    @property
    def whole(self) -> int:
        """Steps of the walk from pure noise, of which this may be the rest."""
        return len(self.skipped) + len(self.timesteps)

    def kept(self, x: Tensor, call: int) -> Tensor:
        """x as the next call sees it: every solver hands it over after each step."""
        return x if self.keep is None else self.keep(x, call)

    @property
    def prediction(self) -> Prediction:
        """What the network answers."""
        return self.schedule.prediction
