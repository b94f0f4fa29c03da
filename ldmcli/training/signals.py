"""A stop that waits for the end of the step: handlers only set a flag."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@dataclass
class Requests:
    """What signals have asked for so far. preparing: there is nothing to save yet, so a stop need not wait; started: time.monotonic()."""

    stop: signal.Signals | None = None
    save: bool = False
    preparing: bool = False
    started: float = field(default_factory=time.monotonic)

    def take_save(self) -> bool:
        """True once per SIGUSR1."""
        wanted, self.save = self.save, False
        return wanted


@contextmanager
def listening(*, preparing: bool = False) -> Iterator[Requests]:
    """SIGINT and SIGTERM set `stop`, SIGUSR1 sets `save`. The old handlers come back at the end.

    A second SIGINT, or the first while `preparing`, ends the process at once. A second SIGTERM does not: job managers and launchers
    send it to the process and again to its group.
    """
    requests = Requests(preparing=preparing)

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if requests.preparing or requests.stop == signal.SIGINT:
            raise KeyboardInterrupt
        requests.stop = signal.SIGINT

    def on_terminate(number: int, frame: FrameType | None) -> None:
        if requests.preparing:
            raise SystemExit(EXIT_CODES[signal.SIGTERM])
        requests.stop = requests.stop or signal.SIGTERM

    def on_save(number: int, frame: FrameType | None) -> None:
        requests.save = True

    wanted = {signal.SIGINT: on_interrupt, signal.SIGTERM: on_terminate, signal.SIGUSR1: on_save}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
