"""Everything random in training as a pure function of (seed, step): this is what makes resuming exact.

Knows no data set and no diffusion: it answers "which sample?" and hands out generators.
"""

import hashlib

import torch
from torch import Tensor


def generator_for(seed: int, purpose: str, number: int = 0) -> torch.Generator:
    """A CPU generator that depends on nothing but its arguments. `number` is a step, an epoch or a picture id."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


class SampleOrder:
    """Every picture once per epoch, in an order of its own each epoch; batches run on across epoch ends."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def batch(self, step: int, size: int) -> Tensor:
        """Sample numbers of the global batch of `step` (from 0). Returns (size,) int64."""
        return torch.tensor(self.places(step * size, (step + 1) * size))

    def places(self, first: int, last: int) -> list[int]:
        """The sample numbers first..last-1 of the whole training, over all batches."""
        return [self._at(position) for position in range(first, last)]

    def _at(self, position: int) -> int:
        epoch, place = divmod(position, self.count)
        if epoch != self._epoch:
            self._order = torch.randperm(self.count, generator=generator_for(self.seed, "order", epoch))
            self._epoch = epoch
        return int(self._order[place])


def pick(counts: Tensor, generator: torch.Generator) -> Tensor:
    """One of counts[i] choices for each i, uniformly. counts: (B,) int64, > 0. Returns (B,) int64."""
    return (torch.rand(len(counts), generator=generator, dtype=torch.float64) * counts).long()
