"""A stop that waits for the end of the step: signals only set a flag."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from ldmcli.runtime.ending import EXIT_CODES
from ldmcli.runtime.signals import collecting

__all__ = ["EXIT_CODES", "Requests", "listen_for_signals"]


@dataclass
class Requests:
    """What signals have asked for so far. preparing: there is nothing to save yet, so a stop need not wait; started: time.monotonic()."""

    stop: signal.Signals | None = None
    save: bool = False
    preparing: bool = False
    started: float = field(default_factory=time.monotonic)

    def take_save(self) -> bool:
        """True once per SIGUSR1."""
        requested, self.save = self.save, False
        return requested


@contextmanager
def listen_for_signals(*, preparing: bool = False) -> Iterator[Requests]:
    """SIGINT, SIGTERM and SIGHUP set `stop`, SIGUSR1 sets `save`. What was before comes back at the end.

    A second SIGINT, or the first signal while `preparing`, is Interrupted. A second SIGTERM is not: job managers and launchers
    send it to the process and again to its group.
    """
    requests = Requests(preparing=preparing)

    def on_save(number: int, frame: FrameType | None) -> None:
        requests.save = True

    with collecting(requests):
        before = signal.signal(signal.SIGUSR1, on_save)
        try:
            yield requests
        finally:
            signal.signal(signal.SIGUSR1, before)
