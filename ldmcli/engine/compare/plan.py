"""What a comparison will draw and where it will write: resolved before torch is imported."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ldmcli.config.measuring import CompareConfig
from ldmcli.diffusion import catalogue
from ldmcli.diffusion.catalogue import Scheduler
from ldmcli.errors import LdmError, UsageError
from ldmcli.runtime.files import lock_alone, open_lock

WRITTEN = ("results.json", "results.csv", "grid.png", "report.html")


@dataclass(frozen=True)
class Cell:
    """One scheduler at one step count. budget: the entry of --steps that led to it."""

    scheduler: Scheduler
    steps: int
    budget: int


def plan_cells(config: CompareConfig) -> list[Cell]:
    """Scheduler by scheduler. Raises UsageError for a name or a step count that cannot be. Needs no torch."""
    cells = []
    for row in (catalogue.resolve(name) for name in config.schedulers):
        for budget in config.steps:
            steps = row.steps_within(budget) if config.equal_nfe else budget
            catalogue.check_steps(row, steps)
            cells.append(Cell(row, steps, budget))
    return cells


def plan_folder(config: CompareConfig) -> None:
    """Raise UsageError for a folder that cannot be the one of the results, because something there would be lost."""
    if config.output is None:
        return
    folder = config.output.expanduser()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"-o {config.output}: a file of this name is in the way.")
    existing = [name for name in WRITTEN if (folder / name).exists()]
    if existing and not config.overwrite:
        raise UsageError(f"-o {config.output} already holds {existing[0]}.", hint="--overwrite replaces it and keeps the reference.")


@contextmanager
def claimed_folder(config: CompareConfig) -> Iterator[Path]:
    """The folder that was named, which no other comparison writes to meanwhile, else a new outputs/compare-N. Raises LdmError."""
    if config.output is None:
        yield _new_folder(Path("outputs"))
        return
    folder = config.output.expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open_lock(folder / ".lock")
    except OSError as error:
        raise LdmError(f"cannot write in {folder}: {error.strerror}.") from error
    with lock:
        try:
            lock_alone(lock)
        except BlockingIOError as error:
            raise UsageError(f"-o {config.output}: another comparison is writing there.", hint="Name another folder.") from error
        plan_folder(config)  # another one may just have ended
        yield folder


def _new_folder(where: Path) -> Path:
    try:
        where.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            with suppress(FileExistsError):
                (where / f"compare-{number}").mkdir()
                break
    except OSError as error:
        raise LdmError(f"cannot make a folder in {where}: {error.strerror}.") from error
    return where / f"compare-{number}"
