"""The processes that train one model together, started by torchrun, `accelerate launch` or srun. Usually there is one."""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ldmcli.errors import Agreed, LdmError, PeerLost, ToldElsewhere, Unheard, UsageError
from ldmcli.runtime.launcher import WAIT, process_count, process_index, restarted
from ldmcli.runtime.meeting import meet
from ldmcli.runtime.sharding import without_accelerates_own

LOST = ("connection closed", "connection reset", "connection refused", "timed out", "broken pipe")
"""What gloo says of a peer that is gone; it has no type of its own for it."""

NUMBERS = 3
"""That `most` takes at the most."""

T = TypeVar("T")


@dataclass(frozen=True)
class _Failure:
    message: str
    hint: str
    exit_code: int


@dataclass(frozen=True)
class Processes:
    """Number `index` of `count` processes, and how they talk: over gloo, also where gradients travel over NCCL.

    Whatever they ask each other begins with the same few numbers, so that one that has failed meanwhile is heard by all, whatever they ask.
    """

    index: int = 0
    count: int = 1
    group: Any = None
    restarted: bool = False
    """Whether torchrun has started some of them anew."""

    @property
    def main(self) -> bool:
        """Whether this is the one that speaks and writes."""
        return self.index == 0

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in order. Waits for all.

        Raises Agreed when one of them has failed within `fail_together`, PeerLost when one has ended.
        """
        if self.count == 1:
            return [value]
        self._heed()
        return self._exchange(value)

    def most(self, numbers: Sequence[int]) -> list[int]:
        """The largest of every process's numbers, place by place; none is negative. Waits for all, and raises as `gather` does."""
        return [*numbers] if self.count == 1 else self._heed(numbers)

    @contextmanager
    def needed(self) -> Iterator[None]:
        """PeerLost instead of the RuntimeError that an operation over all processes ends with when one of them is gone."""
        try:
            yield
        except RuntimeError as error:
            if self.count == 1 or not any(words in str(error).lower() for words in LOST):
                raise
            raise PeerLost(str(error).splitlines()[0]) from error

    @contextmanager
    def in_step(self) -> Iterator[None]:
        """Unheard instead of an LdmError where the others wait for numbers that this process does not send any more."""
        try:
            yield
        except LdmError as error:
            raise Unheard(error, self.index) from error

    @contextmanager
    def fail_together(self) -> Iterator[None]:
        """An LdmError of one process ends all: those that did not fail learn of it in their next `gather` or `most`. Process 0 raises it,
        the others ToldElsewhere with its exit code. Unheard is raised by whoever has it, and the others notice that it leaves."""
        try:
            yield
        except PeerLost as error:
            if self.main:
                raise
            raise ToldElsewhere(error.exit_code) from error  # at once: others may notice only when this one leaves too
        except Unheard as unheard:
            if not self.main:
                raise
            raise unheard.error from None
        except LdmError as error:
            if self.count == 1:
                raise
            known = error if isinstance(error, Agreed) else self._agree_on(error)
            if known is error and self.main:
                raise
            if self.main:
                raise known from error
            with contextlib.suppress(PeerLost):  # until process 0 leaves: a launcher ends all as soon as one has failed
                self._exchange(None)
            raise ToldElsewhere(known.exit_code) from error

    def _agree_on(self, error: LdmError) -> LdmError:
        try:
            self._heed(failure=_Failure(error.message, error.hint, error.exit_code))
        except PeerLost:
            raise error from None  # nobody else can say it
        except Agreed as failed:
            return error if failed.message == error.message else failed
        raise AssertionError("a failure is heard")

    def _heed(self, numbers: Sequence[int] = (), failure: _Failure | None = None) -> list[int]:
        """The largest of all processes' numbers. Raises Agreed when one of them has failed, PeerLost when one has ended."""
        largest = torch.tensor([failure is not None, *numbers, *[0] * (NUMBERS - len(numbers))], dtype=torch.int64)
        with self.needed():
            dist.all_reduce(largest, dist.ReduceOp.MAX, group=self.group)
        if largest[0] and (failed := _first_failure(self._exchange(failure))):
            raise failed
        return largest[1 : 1 + len(numbers)].tolist()

    def _exchange(self, mine: Any) -> list[Any]:
        answers: list[Any] = [None] * self.count
        with self.needed():
            dist.all_gather_object(answers, mine, group=self.group)
        return answers


def _first_failure(answers: list[Any]) -> Agreed | None:
    for index, answer in enumerate(answers):
        if isinstance(answer, _Failure):
            return Agreed(f"process {index}: {answer.message}" if index else answer.message, exit_code=answer.exit_code, hint=answer.hint)
    return None


@contextmanager
def join_processes(device: torch.device) -> Iterator[Processes]:
    """Wait for all processes of the run. Raises LdmError when they do not find each other."""
    if process_count() == 1:
        yield Processes(restarted=restarted())
        return
    if device.index is not None:
        raise UsageError(f"--device {device} with several processes.", hint="Use --device cuda: each process takes a GPU of its own.")
    from accelerate import PartialState

    store, anew = meet()
    try:
        # A store of its own: in torchrun's, which the processes would ask for, there may be addresses of an earlier start.
        with without_accelerates_own():
            state = PartialState(cpu=device.type == "cpu", timeout=WAIT, store=store, rank=process_index(), world_size=process_count())
    except (RuntimeError, ValueError) as error:
        raise LdmError(f"the processes of this run did not find each other: {error}", hint="Start them again.") from error
    try:
        yield Processes(state.process_index, state.num_processes, dist.new_group(backend="gloo", timeout=WAIT), anew)
    finally:
        state.destroy_process_group()
