"""Locks on the temporary folder of an unfinished entry: one process at first, then all that build it together.

A lock is an open file; it is given back when that is closed, or its process ends.
"""

import fcntl
import os
from pathlib import Path
from typing import IO

from ldmcli.data.process_group import NOT_SHARED
from ldmcli.errors import LdmError


def sole_lock(temporary: Path) -> IO[str] | None:
    """The lock of a temporary folder for this process alone, or None while another writer holds it."""
    while True:
        temporary.mkdir(exist_ok=True)
        try:
            lock = (temporary / "lock").open("a+")
        except FileNotFoundError:  # finished and renamed by its writer in this moment
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock.fileno()).st_ino == (temporary / "lock").stat().st_ino:
                return lock
        except BlockingIOError:
            lock.close()
            return None
        except FileNotFoundError:  # the lock that we got went away with its folder
            pass
        lock.close()


def share_lock(lock: IO[str]) -> None:
    """Let the other processes of this run in. A later run gets the sole lock when the last of them is gone."""
    fcntl.flock(lock, fcntl.LOCK_SH)


def shared_lock(temporary: Path) -> IO[str]:
    """The lock of a folder that another process of this run shares. Raises LdmError when this one does not see it."""
    try:
        lock = (temporary / "lock").open("a+")
    except FileNotFoundError as error:
        raise LdmError(f"{temporary} is not there.", hint=NOT_SHARED) from error
    fcntl.flock(lock, fcntl.LOCK_SH)
    return lock
