"""The one writer of files that a user keeps: a file is there whole, as it was, or not at all."""

import errno
import fcntl
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


def claim_name(temporary: Path, path: Path) -> bool:
    """Give a finished file another name unless that is taken: a link fails where a rename would replace. Raises OSError."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV, errno.ENOSYS, errno.EMLINK):
            raise
        try:  # a file system without links: the name first, then what it stands for
            write_exclusively(path, b"")
        except FileExistsError:
            return False
        os.replace(temporary, path)
    return True


def replace_file(path: Path, body: bytes | str, *, overwrite: bool = True) -> Path:
    """Write beside it, bring that to the disk, give it the name. Text becomes UTF-8. Raises OSError.

    overwrite: otherwise FileExistsError where the name is taken.
    """
    with beside(path) as temporary:
        write_exclusively(temporary, body)
        flush(temporary)
        if overwrite:
            os.replace(temporary, path)
        elif not claim_name(temporary, path):
            raise FileExistsError(errno.EEXIST, "another process wrote it meanwhile")
    return path


def copy_file(source: Path, path: Path) -> None:
    """`replace_file` with what another file holds."""
    with replacing(path) as temporary:
        shutil.copyfile(source, temporary)


def write_file(path: Path, body: bytes | str, *, overwrite: bool = True) -> Path:
    """`replace_file`. Raises LdmError for what the system refuses."""
    try:
        return replace_file(path, body, overwrite=overwrite)
    except FileExistsError as error:
        raise LdmError(f"{path}: {error.strerror}; nothing was replaced.", hint="Name another file, or add --overwrite.") from error
    except OSError as error:
        raise LdmError(f"cannot write {path}: {error.strerror or error}.", hint="Is the disk full, or the folder not writable?") from error


def write_exclusively(path: Path, body: bytes | str) -> None:
    """A file that is not there yet, not even as a link. Names of files that are no UTF-8 are escaped where they stand in a text."""
    with path.open("xb") as file:
        file.write(body.encode(errors="backslashreplace") if isinstance(body, str) else body)


def open_lock(path: Path) -> IO[str]:
    """A file to be locked, made where there is none. Raises OSError for a link: nothing is made or cut short where that leads."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+")


def lock_alone(file: IO[str]) -> None:
    """Lock an open file without waiting. Raises BlockingIOError where another process holds it, and OSError. A file system that has no
    locks lets all pass: a run alone is safe there, and two at once are not found out."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise


def flush(path: Path) -> None:
    """To the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def user_cache() -> Path | None:
    """The folder for what can be made again: ldm in XDG_CACHE_HOME, else in ~/.cache. None for a user without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ldm"
    except RuntimeError:
        return None
