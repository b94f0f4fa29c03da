"""The one writer of files that a user keeps: a file is there whole, as it was, or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ldmcli.errors import LdmError
from ldmcli.runtime.ending import undisturbed


def temporary_name() -> str:
    """Of a file that is to get another name. Machines and containers that share a disk may have processes of equal numbers."""
    return f".ldm-{secrets.token_hex(8)}.tmp"


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A name that nothing has, in the same folder, for a file that is to become `path`; what is still there at the end goes.

    Signals that end the process wait until then, so that nothing is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(temporary_name())
    with undisturbed():
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The same for a file that something else writes in the block: it is brought to the disk and given the name, unless the block raises.

    A link of that name is replaced, never followed. Raises OSError.
    """
    with beside(path) as temporary:
        yield temporary
        flush(temporary)
        os.replace(temporary, path)


def replace_file(path: Path, body: bytes | str) -> Path:
    """Write beside it, bring that to the disk, give it the name. Text becomes UTF-8. Raises OSError."""
    with replacing(path) as temporary:
        write_exclusively(temporary, body)
    return path


def copy_file(source: Path, path: Path) -> None:
    """`replace_file` with what another file holds."""
    with replacing(path) as temporary:
        shutil.copyfile(source, temporary)


def write_file(path: Path, body: bytes | str) -> Path:
    """`replace_file`. Raises LdmError for what the system refuses."""
    try:
        return replace_file(path, body)
    except OSError as error:
        raise LdmError(f"cannot write {path}: {error.strerror or error}.", hint="Is the disk full, or the folder not writable?") from error


def write_exclusively(path: Path, body: bytes | str) -> None:
    """A file that is not there yet, not even as a link. Names of files that are no UTF-8 are escaped where they stand in a text."""
    with path.open("xb") as file:
        file.write(body.encode(errors="backslashreplace") if isinstance(body, str) else body)


def open_lock(path: Path) -> IO[str]:
    """A file to be locked, made where there is none. Raises OSError for a link: nothing is made or cut short where that leads."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+")


def flush(path: Path) -> None:
    """To the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
