"""A stop that waits for the end of the step: handlers only set a flag."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@dataclass
class Requests:
    """What signals have asked for so far."""

    stop: signal.Signals | None = None
    save: bool = False

    def take_save(self) -> bool:
        """True once per SIGUSR1."""
        wanted, self.save = self.save, False
        return wanted


@contextmanager
def listening() -> Iterator[Requests]:
    """SIGINT and SIGTERM set `stop` (a second one ends the process at once), SIGUSR1 sets `save`. The old handlers come back at the end."""
    requests = Requests()

    def on_stop(number: int, frame: FrameType | None) -> None:
        if requests.stop is not None:
            raise KeyboardInterrupt
        requests.stop = signal.Signals(number)

    def on_save(number: int, frame: FrameType | None) -> None:
        requests.save = True

    wanted = {signal.SIGINT: on_stop, signal.SIGTERM: on_stop, signal.SIGUSR1: on_save}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
