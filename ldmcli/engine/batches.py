"""Which pictures of a command are drawn together. Imports no torch."""

from array import array
from collections.abc import Callable, Sequence

from ldmcli.config.generation import GenerateConfig
from ldmcli.config.sharing import Shard
from ldmcli.engine.jobs import Job
from ldmcli.runtime.long_lists import MadeWhenAsked


class BatchList(MadeWhenAsked[list[Job]]):
    """Batches of jobs. order: the numbers of the jobs, batch after batch; ends: where each batch ends in it."""

    def __init__(self, jobs: Sequence[Job], order: Sequence[int], ends: Sequence[int]) -> None:
        self._jobs, self._order, self._ends = jobs, order, ends

    def __len__(self) -> int:
        return len(self._ends)

    def start(self, number: int) -> int:
        """How many jobs are in the batches before."""
        return self._ends[number - 1] if number else 0

    @property
    def pictures(self) -> int:
        """In all batches."""
        return self.start(len(self))

    def item(self, number: int) -> list[Job]:
        """Raises LdmError for a disk that does not read."""
        return [self._jobs[place] for place in self._order[self.start(number) : self._ends[number]]]

    def part(self, shard: Shard) -> "BatchList":
        """The batches of one machine."""
        order, ends = array("Q"), array("Q")
        for number in filter(shard.__contains__, range(len(self))):
            order.extend(self._order[self.start(number) : self._ends[number]])
            ends.append(len(order))
        return BatchList(self._jobs, order, ends)


def batches(jobs: Sequence[Job], size: Callable[[Job], int], windows: Callable[[Job], int] = lambda job: 1) -> BatchList:
    """Jobs with the same settings together, in the order in which the settings first appear, `size` of the first at a time.

    windows: how many the job's prompt takes. Prompts share a batch only where that is equal, so that none is padded for its neighbours.
    Cut over the whole command, whatever is finished already: a resumed run draws the same batches, so the same bytes.
    """
    import numpy as np

    ranks: dict[tuple[int, int], int] = {}
    places: dict[int, int] = {}  # a config by identity: it is too large to compare a million times
    same: dict[GenerateConfig, int] = {}
    groups, sizes = array("I"), list[int]()
    for job in jobs:
        place = places.get(id(job.config))
        if place is None:
            place = places[id(job.config)] = same.setdefault(job.config, len(same))
        new = len(sizes)
        rank = new if job.end_of_sequence else ranks.setdefault((place, windows(job)), new)
        groups.append(rank)
        if rank == new:
            sizes.append(size(job))
    order: Sequence[int] = range(len(groups))  # of one group, as most are
    if len(sizes) > 1:
        order = array("Q", np.argsort(np.frombuffer(groups, np.uint32), kind="stable"))
    ends = array("Q")
    for many, most in zip(np.bincount(np.frombuffer(groups, np.uint32), minlength=len(sizes)), sizes, strict=True):
        first = ends[-1] if ends else 0
        ends.extend(min(first + most * i, first + int(many)) for i in range(1, -(-int(many) // most) + 1))
    return BatchList(jobs, order, ends)
