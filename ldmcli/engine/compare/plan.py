"""What a comparison will draw and where it will write: resolved before torch is imported."""

from dataclasses import dataclass
from pathlib import Path

from ldmcli.config.measuring import CompareConfig
from ldmcli.diffusion import catalogue
from ldmcli.diffusion.catalogue import Scheduler
from ldmcli.errors import UsageError

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


def plan_folder(config: CompareConfig) -> Path:
    """The folder that was named, if nothing there would be lost, else the next free outputs/compare-N. Raises UsageError."""
    if config.output is None:
        number = 1
        while (folder := Path("outputs") / f"compare-{number}").exists():
            number += 1
        return folder
    folder = config.output.expanduser()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"-o {config.output}: a file of this name is in the way.")
    existing = [name for name in WRITTEN if (folder / name).exists()]
    if existing and not config.overwrite:
        raise UsageError(f"-o {config.output} already holds {existing[0]}.", hint="--overwrite replaces it and keeps the reference.")
    return folder
