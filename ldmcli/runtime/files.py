"""The one writer of files that a user keeps: a file is there whole, as it was, or not at all."""

import os
import secrets
from pathlib import Path

from ldmcli.errors import LdmError
from ldmcli.runtime.ending import undisturbed


def temporary_name() -> str:
    """Of a file that is to get another name. Machines and containers that share a disk may have processes of equal numbers."""
    return f".ldm-{secrets.token_hex(8)}.tmp"


def replace_file(path: Path, body: bytes | str) -> Path:
    """Write beside it, bring that to the disk, give it the name; a link of that name is replaced, never followed. Raises OSError.

    Text becomes UTF-8. Signals that end the process wait until it is over, so that nothing is left beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(temporary_name())
    with undisturbed():
        try:
            with temporary.open("xb") as file:
                file.write(body.encode() if isinstance(body, str) else body)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def write_file(path: Path, body: bytes | str) -> Path:
    """`replace_file`. Raises LdmError for what the system refuses."""
    try:
        return replace_file(path, body)
    except OSError as error:
        raise LdmError(f"cannot write {path}: {error.strerror or error}.", hint="Is the disk full, or the folder not writable?") from error
