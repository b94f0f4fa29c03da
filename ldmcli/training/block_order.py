"""The order of pictures that lie in shards: shuffled by blocks of shards, without a list of the pictures.

Every epoch has an order of the shards; so many of them in turn make a block, and the pictures of a block are shuffled among each other.
Only the shards of one block need to be at hand. As in order.py everything is a function of (seed, step).
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from ldmcli.training.order import generator_for


class BlockOrder:
    """Every picture once per epoch. Picture n is the (n - first)-th of its shard, where `first` are in the shards before it.

    Memory: four numbers a shard, and one for every picture of a block.
    """

    def __init__(self, counts: Sequence[int], seed: int, block: int) -> None:
        """counts: pictures of each shard; block: shards."""
        self.counts, self.seed, self.block = list(counts), seed, block
        self.first = [0, *accumulate(self.counts)]
        self.count = self.first[-1]
        self._epoch, self._block = -1, -1
        self._shards: list[int] = []
        self._begins: list[int] = []
        self._order = torch.empty(0, dtype=torch.int64)

    def batch(self, step: int, size: int) -> Tensor:
        """Sample numbers of the global batch of `step` (from 0). Returns (size,) int64."""
        return torch.tensor(self.places(step * size, (step + 1) * size))

    def places(self, first: int, last: int) -> list[int]:
        """The sample numbers first..last-1 of the whole training, over all batches."""
        return [self._at(position) for position in range(first, last)]

    def shards_after(self, position: int) -> list[int]:
        """The shards of the block that follows the one of this place in the training."""
        epoch, place = divmod(position, self.count)
        self._enter(epoch)
        following = bisect_right(self._begins, place)
        if following == len(self._begins):
            return _shuffled(len(self.counts), self.seed, "shards", epoch + 1)[: self.block]
        return self._shards[following * self.block : (following + 1) * self.block]

    def _at(self, position: int) -> int:
        epoch, place = divmod(position, self.count)
        self._enter(epoch)
        block = bisect_right(self._begins, place) - 1
        if block != self._block:
            shards = self._shards[block * self.block : (block + 1) * self.block]
            numbers = torch.cat([torch.arange(self.first[shard], self.first[shard + 1]) for shard in shards])
            generator = generator_for(self.seed, f"block {block} of epoch", epoch)
            self._order, self._block = numbers[torch.randperm(len(numbers), generator=generator)], block
        return int(self._order[place - self._begins[block]])

    def _enter(self, epoch: int) -> None:
        if epoch == self._epoch:
            return
        self._shards = _shuffled(len(self.counts), self.seed, "shards", epoch)
        sizes = [sum(self.counts[s] for s in self._shards[i : i + self.block]) for i in range(0, len(self._shards), self.block)]
        self._begins = [0, *accumulate(sizes)][:-1]
        self._epoch, self._block = epoch, -1


def _shuffled(count: int, seed: int, purpose: str, epoch: int) -> list[int]:
    return torch.randperm(count, generator=generator_for(seed, purpose, epoch)).tolist()
