"""Whether a training run may have its output folder, and the lock that keeps it. Imports no torch, so that a folder that is taken is told
at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ldmcli.config.training import TrainConfig
from ldmcli.errors import LdmError, UsageError
from ldmcli.runtime.files import lock_alone, open_lock
from ldmcli.runtime.room import check_room

LOCK = ".lock"


@contextmanager
def locked(config: TrainConfig) -> Iterator[None]:
    """The output folder, made where there is none and locked against a second trainer. Raises UsageError and LdmError."""
    _check_folders(config)
    config.output.mkdir(parents=True, exist_ok=True)
    with _alone(config.output):
        yield


def refuse_taken(config: TrainConfig) -> None:
    """Raise what `locked` would raise now. It makes no folder and keeps no lock: whoever is second at the same moment is told here, or
    there. A plan writes elsewhere."""
    if config.dry_run:
        return
    _check_folders(config)
    if (config.output / LOCK).exists():
        with _alone(config.output):
            pass


def _check_folders(config: TrainConfig) -> None:
    run = config.output
    if run.exists() and not run.is_dir():
        raise UsageError(f"-o {run} is a file; a folder is needed.")
    if config.resume is None and (run / "checkpoints").is_dir() and any((run / "checkpoints").iterdir()):
        raise UsageError(f"{run} already holds a run.", hint="Go on with --resume auto, or choose another -o.")
    for folder in (run, config.cache):
        if folder is not None:
            check_room(folder)


@contextmanager
def _alone(run: Path) -> Iterator[None]:
    with open_lock(run / LOCK) as lock:
        try:
            lock_alone(lock)
        except BlockingIOError as error:
            raise LdmError(f"another training run is using {run}.") from error
        yield
