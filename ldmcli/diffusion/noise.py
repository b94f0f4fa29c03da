"""Random numbers: a seed names a picture, whatever the batch it is drawn in."""

from collections.abc import Sequence

import torch
from torch import Tensor

# B pictures, C latent channels, h w latent size


def noise_for(seeds: Sequence[int], shape: tuple[int, int, int]) -> Tensor:
    """The noise each picture starts from: the first draw of its seed. shape: (C, h, w). Returns (B, C, h, w) float32 on the CPU."""
    # CPU generators: CUDA draws differ from CPU draws, and the seed is stored in the picture
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


class StepNoise:
    """The noise that stochastic solvers add at each step: the draws of each seed after its first.

    These are the numbers that StableDiffusionPipeline(generator=[one per picture]) hands to its scheduler.
    """

    def __init__(self, seeds: Sequence[int], shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.drawn = 0
        for generator in self.generators:
            torch.randn(shape, generator=generator)  # the first draw is the noise that the walk starts from

    def __call__(self, step: int) -> Tensor:
        """Standard normal (B, C, h, w) float32 of a step; steps are asked for once each, in order."""
        assert step == self.drawn, f"noise of step {step} asked for, {self.drawn} is next"
        self.drawn += 1
        return torch.stack([torch.randn(self.shape, generator=generator) for generator in self.generators])
