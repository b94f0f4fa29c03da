"""Locks between processes that are waited for while their holder writes, and not for ever."""

import fcntl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from ldmcli.errors import NotFound
from ldmcli.runtime.urls import public

WAIT_S, POLL_S = 1800.0, 0.05
"""For another process that gets the same file."""


def until_got(lock: IO[str], how: int, url: str, growing: Path, *, unless: Callable[[], bool] = lambda: False) -> bool:
    """Whether it was got: False, without it, once `unless` holds, since whoever has what was wanted may keep the lock to its end.

    Raises NotFound where another process has written nothing below `growing` for WAIT_S seconds, and keeps the lock.
    """
    until = time.monotonic() + WAIT_S
    while True:
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if unless():
                return False
            if time.monotonic() > until:
                idle = time.time() - _written(growing)
                if idle > WAIT_S:
                    raise NotFound(f"{public(url)}: another process has been getting it for {WAIT_S:g} seconds.") from None
                until += WAIT_S - idle
            time.sleep(POLL_S)


def _written(folder: Path) -> float:
    """When the newest file below it was written to last, in seconds since 1970."""
    newest = 0.0
    for path in (folder, *folder.rglob("*")):
        with suppress(OSError):  # gone meanwhile
            newest = max(newest, path.stat().st_mtime)
    return newest
