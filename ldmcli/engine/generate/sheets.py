"""What --grid shows: of a sweep a table, of anything else the pictures one after the other."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from PIL import Image

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.jobs import SWEEPABLE, Job
from ldmcli.records.pictures import ImageRecord
from ldmcli.records.words import plain
from ldmcli.reports.grid import MOST_PICTURES, grid_sheet
from ldmcli.reports.sweep_table import MOST_COLUMNS, SweepTable, table_sheet


def sheet_of(jobs: Sequence[Job], done: Mapping[int, ImageRecord]) -> tuple[Image.Image, int]:
    """The sheet and how many pictures it shows. done: the records by the number of their job, at least one. Raises LdmError."""
    table = sweep_table(jobs, done)
    if table is not None and table.shown().records:
        return table_sheet(table.shown()), len(table.shown().records)
    records = [done[number] for number in sorted(done)]
    return grid_sheet(records), min(len(records), MOST_PICTURES)


def sweep_table(jobs: Sequence[Job], done: Mapping[int, ImageRecord]) -> SweepTable | None:
    """The jobs of a --sweep as a table; None where they are no product of the values that options take.

    The option that turns fastest, which is the last that was swept, gives the columns; prompts, seeds and other options the rows.
    """
    configs = {id(job.config): job.config for job in jobs}.values()
    swept = [name for name in SWEEPABLE if len({getattr(config, name) for config in configs}) > 1]
    turns = (name for one, other in pairwise(jobs) for name in swept if getattr(one.config, name) != getattr(other.config, name))
    axis = next(turns, None)
    if axis is None:
        return None
    others = [name for name in swept if name != axis]
    columns = list(dict.fromkeys(getattr(job.config, axis) for job in jobs))
    rows: dict[tuple[Any, ...], dict[Any, Job]] = {}
    for job in jobs:
        key = (job.prompt, *(getattr(job.config, name) for name in others), job.seed)
        rows.setdefault(key, {})[getattr(job.config, axis)] = job
    if len(rows) * len(columns) != len(jobs) or any(len(row) < len(columns) for row in rows.values()) or len(columns) > MOST_COLUMNS:
        return None
    several = {"prompt": len({job.prompt for job in jobs}) > 1, "seed": len({job.seed for job in jobs}) > 1}
    firsts = [next(iter(row.values())) for row in rows.values()]
    labels = [
        [job.prompt] * several["prompt"] + [_said(job.config, name) for name in others] + [f"seed {job.seed}"] * several["seed"]
        for job in firsts
    ]
    name, default = _name(axis), SWEEPABLE[axis].default_is
    return SweepTable(
        name,
        [default if value is None and default else plain(value) for value in columns],
        labels,
        [[done.get(row[value].number) for value in columns] for row in rows.values()],
    )


def _said(config: GenerateConfig, name: str) -> str:
    value = getattr(config, name)
    return f"{_name(name)} {SWEEPABLE[name].default_is if value is None else plain(value)}"


def _name(field: str) -> str:
    return SWEEPABLE[field].name.lstrip("-")
