"""Random numbers: a seed names a picture, whatever the batch it is drawn in."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

# B pictures, C latent channels, h w latent size

COLUMNS, WHOLE = (1,), (0, 1, 2)
"""Of noise (C, h, w): A1111 takes each column of each channel for a vector of its own; the way between two seeds is one arc."""

ALIKE = 0.9995
"""Cosine beyond which an arc is as good as straight, and its sine too small to divide by."""


def noise_for(seeds: Sequence[int], shape: tuple[int, int, int], *, after: int = 0) -> Tensor:
    """A draw of each seed: its first is the noise that a picture starts from. shape: (C, h, w). Returns (B, C, h, w) float32 on the CPU.

    after: draws of each seed that come before.
    """
    # CPU generators: CUDA draws differ from CPU draws, and the seed is stored in the picture
    return torch.stack([torch.randn(shape, generator=generator) for generator in _generators(seeds, shape, after)])


class StepNoise:
    """The noise that stochastic solvers add at each step: the draws of each seed after its first ones.

    These are the numbers that StableDiffusionPipeline(generator=[one per picture]) hands to its scheduler.
    """

    def __init__(
        self, seeds: Sequence[int], shape: tuple[int, int, int], *, after: int = 1, towards: Mapping[int, tuple[int, float]] | None = None
    ) -> None:
        """after: draws that come before; of a picture from noise that is the noise itself.

        towards: of a row that lies between two seeds, the other one and the share of the way to it.
        """
        self.shape = shape
        self.generators = _generators(seeds, shape, after)
        self.towards = {row: (_generators([seed], shape, after)[0], share) for row, (seed, share) in (towards or {}).items()}
        self.drawn = 0

    def __call__(self, step: int) -> Tensor:
        """Standard normal (B, C, h, w) float32 of a step; steps are asked for once each, in order."""
        assert step == self.drawn, f"noise of step {step} asked for, {self.drawn} is next"
        self.drawn += 1
        draws = [torch.randn(self.shape, generator=generator) for generator in self.generators]
        for row, (generator, share) in self.towards.items():
            draws[row] = slerp(draws[row], torch.randn(self.shape, generator=generator), share, WHOLE)
        return torch.stack(draws)


def slerp(one: Tensor, other: Tensor, share: float, dims: Sequence[int]) -> Tensor:
    """On the arc from one to the other (Shoemake 1985), so that noise between two noises is as long as they are.

    one, other: of one shape; share: 0 is one, 1 the other; dims: those that make up a vector, each vector has its own arc.
    """
    if share in (0, 1):
        return other if share else one
    dims = tuple(dims)
    first, second = (x / torch.linalg.vector_norm(x, dim=dims, keepdim=True) for x in (one, other))
    dot = (first * second).sum(dim=dims, keepdim=True)
    if dot.mean() > ALIKE:
        return one + share * (other - one)
    omega = dot.clamp(-1, 1).acos()
    return (((1 - share) * omega).sin() * one + (share * omega).sin() * other) / omega.sin()


def _generators(seeds: Sequence[int], shape: tuple[int, int, int], after: int) -> list[torch.Generator]:
    """One for each seed, `after` draws on."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    for generator in generators:
        for _ in range(after):
            torch.randn(shape, generator=generator)
    return generators
