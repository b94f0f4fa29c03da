"""log.jsonl of a training run, and what a disk that refuses a write means for the run."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from ldmcli.errors import LdmError
from ldmcli.records.training import TrainStep
from ldmcli.runtime.files import replace_file

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
"""Errors of a disk rather than of a path."""


class RunLog:
    """One JSON object a line, in the order of the steps: `step`, `loss` and the other terms, `lr`, `images_per_s`, `seconds`."""

    def __init__(self, path: Path, step: int) -> None:
        """Go on after `step`: lines of later steps, which will be done again, are dropped, and a line that a kill cut short."""
        self.path = path
        self.last = 0.0
        """Step of the last line."""
        if path.is_file():
            lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if _step(line) <= step]
            replace_file(path, "".join(f"{line}\n" for line in lines))
            self.last = max(map(_step, lines), default=0.0)

    def write(self, record: TrainStep, figures: dict[str, float]) -> dict[str, float]:
        """Add a line. Returns it as it was written."""
        rate = {"lr": record.lr, "images_per_s": record.images_per_s, "seconds": record.seconds}
        body = {"step": record.step, **record.terms, **figures, **rate}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(body) + "\n")
        return body

    def flush(self) -> None:
        """To the disk: a checkpoint that is there has its lines."""
        if self.path.is_file():
            with self.path.open("rb") as file:
                os.fsync(file.fileno())


def _step(line: str) -> float:
    """Of a line of the log; infinity where it is none."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return float("inf")


@contextmanager
def disk_errors(what: str, hint: str) -> Iterator[None]:
    """Turn the complaint of a full or failing disk into an LdmError: `what` could not be written."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if isinstance(error, OSError) and error.errno not in DISK:
            raise
        raise LdmError(f"{what} could not be written: {_reason(error)}.", hint=hint) from error


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).rstrip(".")
