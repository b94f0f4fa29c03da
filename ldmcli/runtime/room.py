"""Whether a disk takes what is going to be written, asked before anything slow begins."""

import os
from pathlib import Path

from ldmcli.errors import LdmError
from ldmcli.runtime.files import beside, write_exclusively

PROBE = b"\0" * 4096
"""What a file system takes a block for."""


def check_room(folder: Path, needed: int = 0) -> None:
    """Raise LdmError where nothing can be written in a folder, or fewer than `needed` bytes. One that is not there is asked by what it
    would lie in; nothing is left behind."""
    try:
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        with beside(folder / "probe") as probe:
            write_exclusively(probe, PROBE)
        disk = os.statvfs(folder)
    except OSError as error:
        raise LdmError(f"cannot write in {folder}: {error.strerror or error}.", hint="Make room there, or name another place.") from error
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        raise LdmError(
            f"cannot write in {folder}: at least {needed / 1e6:,.1f} MB are needed, and {free / 1e6:,.1f} MB are free.",
            hint="Make room there, or name another place.",
        )
