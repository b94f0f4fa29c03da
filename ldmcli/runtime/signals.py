"""The one place where signals are heard. Imports nothing that is slow: hearing is the first thing that a process of ours does.

What SIGINT, SIGTERM and SIGHUP do depends on what is under way:

- nothing yet (imports, options): the process ends at once;
- a run (`relayed`, `interruptible`): Interrupted is raised in it. It may be inside one call into torch that takes minutes, where Python
  hears nothing, so a thread waits for GRACE_S and then ends the process; a second signal ends it at once;
- training (`collecting`): a flag that the loop looks at after every step.
"""

import os
import select
import signal
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol, TypeVar

from ldmcli.runtime.ending import EXIT_CODES, end_process

GRACE_S = 1.4
"""From the signal until the process ends, whatever it is doing."""

SAME_S = 0.3
"""Job managers and launchers send a signal to the process and again to its group: closer than this, two are one."""

T = TypeVar("T")


class Interrupted(BaseException):
    """A signal ends the run. No Exception: what goes on after a failure must not go on after this."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.signal, self.exit_code = number, EXIT_CODES[number]


class StopRequests(Protocol):
    """Who is told of a stop, where a step may be under way that is to be saved. preparing: there is nothing to save yet."""

    stop: signal.Signals | None
    preparing: bool


class _Hearing:
    """What the process is doing as far as signals are concerned, and what it has heard."""

    def __init__(self, *, raising: bool) -> None:
        self.raising = raising
        """Interrupted is raised; otherwise there is nothing to put in order."""
        self.showing = False
        """An event of the run is being shown: Interrupted has to wait and be raised in the run."""
        self.stop: signal.Signals | None = None
        self.raised = False
        self.requests: StopRequests | None = None
        self.parting = ""

    @property
    def training(self) -> StopRequests | None:
        """Who is told, instead of anything being ended."""
        return self.requests if self.requests is not None and not self.requests.preparing else None

    def on_stop(self, number: int, frame: FrameType | None) -> None:
        """In the main thread, between two of Python's instructions."""
        listen = signal.Signals(number)
        if self.training is not None:
            again = listen == self.training.stop == signal.SIGINT
            if listen == signal.SIGINT or self.training.stop is None:
                self.training.stop = listen
            if not again:
                return
        elif not self.raising:
            end_process(listen, self.parting)
        self.stop = self.stop or listen
        if not self.showing and (stop := self.due()):
            raise stop

    def due(self) -> Interrupted | None:
        """What is to be raised, once."""
        if self.stop is None or self.raised:
            return None
        self.raised = True
        return Interrupted(self.stop)


_hearing: _Hearing | None = None


def _forget() -> None:
    """In a process that was forked while this one listened: its signals are not ours."""
    global _hearing
    if _hearing is not None:
        signal.set_wakeup_fd(-1)
        for number in EXIT_CODES:
            signal.signal(number, signal.SIG_DFL)
        _hearing = None


os.register_at_fork(after_in_child=_forget)


@contextmanager
def listen(*, whole_process: bool = False) -> Iterator[None]:
    """Listen until the end of the block; inside another one, and outside the main thread, change nothing.

    whole_process: nothing but a run is worth an orderly end. A SIGHUP that is ignored stays so: that is what nohup is for. SIGINT is
    heard even where a shell started a script's background job without it, which `kill -INT` could not end otherwise.
    """
    global _hearing
    if _hearing is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    _hearing = hearing = _Hearing(raising=not whole_process)
    read, write = os.pipe()
    os.set_blocking(write, False)
    wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    handled = [number for number in EXIT_CODES if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, hearing.on_stop) for number in handled}
    watcher = threading.Thread(target=_watch, args=(hearing, read), name="signals", daemon=True)
    with suppress(RuntimeError):  # no memory for its stack: then what Python hears must do
        watcher.start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.close(write)  # the end of the file ends the thread
        if watcher.ident is not None:
            watcher.join()
        os.close(read)
        _hearing = None


def _watch(hearing: _Hearing, read: int) -> None:
    """End the process where the main thread does not: GRACE_S after a signal, or at the second one."""
    first: tuple[float, signal.Signals] | None = None
    ctrl_c: float | None = None
    while True:
        left = None if first is None else max(first[0] + GRACE_S - time.monotonic(), 0)
        if not select.select([read], [], [], left)[0] and first is not None:
            end_process(first[1], hearing.parting)
        numbers = os.read(read, 64)
        if not numbers:
            return
        for number in (signal.Signals(number) for number in numbers if number in EXIT_CODES):
            now = time.monotonic()
            if hearing.training is not None and (number != signal.SIGINT or ctrl_c is None):  # the step may take its time
                ctrl_c = now if number == signal.SIGINT else ctrl_c
            elif first is None:
                first = now, number
            elif now - first[0] > SAME_S:
                end_process(number, hearing.parting)


@contextmanager
def interruptible(parting: str = "") -> Iterator[None]:
    """What is under way has something to put in order: a signal raises Interrupted in it. parting: what is said where even that fails."""
    hearing = _hearing
    if hearing is None:
        yield
        return
    before = hearing.raising, hearing.parting
    hearing.raising, hearing.parting = True, parting or hearing.parting
    try:
        yield
    finally:
        hearing.raising, hearing.parting = before


def relayed(events: Iterable[T]) -> Iterator[T]:
    """Pass a run's events on. Interrupted is raised in the run, also where the signal comes while an event is being shown."""
    with interruptible():
        hearing, run, stop = _hearing or _Hearing(raising=True), _passed(events), None
        while True:
            try:
                event = next(run) if stop is None else run.throw(stop)
            except StopIteration:
                return
            hearing.showing = True
            try:
                yield event
            finally:
                hearing.showing = False
            stop = hearing.due()


def _passed(events: Iterable[T]) -> Generator[T]:
    """As a generator, into which an error can be thrown."""
    yield from events


@contextmanager
def collecting(requests: StopRequests) -> Iterator[None]:
    """A stop is told, and ends nothing: `stop` is the last SIGINT, or else the first signal that came. A second SIGINT is Interrupted."""
    with listen():
        hearing = _hearing
        if hearing is not None:
            hearing.requests = requests
        try:
            yield
        finally:
            if hearing is not None:
                hearing.requests = None
