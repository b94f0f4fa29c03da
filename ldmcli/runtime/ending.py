"""The end of the process after a signal, from whichever thread, and what it waits for."""

import os
import select
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 143}

WRITING_S = 0.4
"""For the file that is just being written."""

_undisturbed = threading.Lock()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Write something that should not be left half-written: the process ends afterwards, if WRITING_S is enough for it."""
    with _undisturbed:
        yield


def end_process(number: signal.Signals, parting: str) -> NoReturn:
    """After a signal, with its exit code. parting: a sentence after what is said."""
    end_at_once("interrupted." if number == signal.SIGINT else f"stopped by {number.name}.", parting, EXIT_CODES[number])


def end_at_once(said: str, parting: str, code: int = 1) -> NoReturn:
    """With one line on stderr, if that can take it, from whichever thread: what the others do is cut off."""
    _undisturbed.acquire(timeout=WRITING_S)
    clean = "\r\x1b[K\x1b[?25h" if os.isatty(2) else ""  # a progress bar may have hidden the cursor
    try:
        if select.select([], [2], [], 0)[1]:
            os.write(2, f"{clean}error: {said}{' ' + parting if parting else ''}\n".encode())
    except (OSError, ValueError):  # closed, or full
        pass
    os._exit(code)
