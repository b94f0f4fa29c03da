"""The one writer of files that a user keeps: a file is there whole, as it was, or not at all."""

import errno
import os
import secrets
from pathlib import Path

from ldmcli.errors import LdmError
from ldmcli.runtime.ending import undisturbed


def temporary_name() -> str:
    """Of a file that is to get another name. Machines and containers that share a disk may have processes of equal numbers."""
    return f".ldm-{secrets.token_hex(8)}.tmp"


def claim_name(temporary: Path, path: Path) -> bool:
    """Give a finished file another name unless that is taken: a link fails where a rename would replace. Raises OSError."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EXDEV):
            raise
        try:  # a file system without links
            with path.open("xb") as file:
                try:
                    file.write(temporary.read_bytes())
                except OSError:
                    path.unlink()
                    raise
        except FileExistsError:
            return False
    return True


def replace_file(path: Path, body: bytes | str, *, overwrite: bool = True) -> Path:
    """Write beside it, bring that to the disk, give it the name; a link of that name is replaced, never followed. Raises OSError.

    overwrite: otherwise FileExistsError where the name is taken. Text becomes UTF-8. Signals that end the process wait until it is over,
    so that nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(temporary_name())
    with undisturbed():
        try:
            with temporary.open("xb") as file:
                file.write(body.encode() if isinstance(body, str) else body)
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                os.replace(temporary, path)
            elif not claim_name(temporary, path):
                raise FileExistsError(errno.EEXIST, "another process wrote it meanwhile")
        finally:
            temporary.unlink(missing_ok=True)
    return path


def write_file(path: Path, body: bytes | str, *, overwrite: bool = True) -> Path:
    """`replace_file`. Raises LdmError for what the system refuses."""
    try:
        return replace_file(path, body, overwrite=overwrite)
    except FileExistsError as error:
        raise LdmError(f"{path}: {error.strerror}; nothing was replaced.", hint="Name another file, or add --overwrite.") from error
    except OSError as error:
        raise LdmError(f"cannot write {path}: {error.strerror or error}.", hint="Is the disk full, or the folder not writable?") from error
