"""How several processes build one cache: who does what, and how they hear of each other."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")

NOT_SHARED = "The processes of one run must see the same files: put RUN and --cache on a disk that all machines share."
"""What to do when one does not find what another has written."""


class ProcessGroup(Protocol):
    """The processes that build together; number 0 leads."""

    @property
    def index(self) -> int:
        """Of this process, from 0."""
        ...

    @property
    def count(self) -> int:
        """How many processes."""
        ...

    def gather(self, value: T, /) -> list[T]:
        """The values of all processes, in order. Waits for all."""
        ...


class SingleProcess:
    """A group of one."""

    index, count = 0, 1

    def gather(self, value: T, /) -> list[T]:
        """The one value."""
        return [value]


SINGLE_PROCESS = SingleProcess()


def rounds(work: Sequence[T], process_group: ProcessGroup) -> list[list[T]]:
    """This process's share of the work, one piece a round, or none in the last round of some. Every process has as many rounds.

    Shares are contiguous, so that no two processes write near each other for long.
    """
    first, last = (len(work) * place // process_group.count for place in (process_group.index, process_group.index + 1))
    longest = -(-len(work) // process_group.count)
    return [list(work[place : place + 1]) if place < last else [] for place in range(first, first + longest)]
