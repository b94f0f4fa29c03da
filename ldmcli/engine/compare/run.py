"""The same noise through every scheduler and step count, measured against one converged walk."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ldmcli.config.measuring import CompareConfig
from ldmcli.engine.compare.comparison import Comparison
from ldmcli.engine.compare.plan import Cell, plan_cells, plan_folder
from ldmcli.engine.compare.scorer import open_scorer
from ldmcli.engine.compare.statistics import differences, verdicts
from ldmcli.engine.jobs import Request, plan_jobs
from ldmcli.engine.sampling.settings import prompt_notes
from ldmcli.engine.session import open_session
from ldmcli.errors import LdmError, PartlyFailed
from ldmcli.models.source import Source
from ldmcli.records.comparison import ComparedRow, ComparisonReport
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Place
from ldmcli.records.pictures import FailedItem
from ldmcli.records.words import counted
from ldmcli.reports.comparison import write_comparison
from ldmcli.runtime.device import select_runtime, set_threads
from ldmcli.runtime.room import check_room

SAID = 5
"""Lines that cannot be used and are named before anything is drawn."""


def run_comparison(config: CompareConfig, source: Source, prompts: Sequence[str], unusable: Sequence[FailedItem] = ()) -> Iterator[Event]:
    """Yield notes, progress, a ComparedRow per scheduler and step count, and the report. A cell that fails is a row with its error.

    unusable: lines of a prompts file. Raises PartlyFailed after the report when there are some, or some cells failed, or what stopped
    the first when all did.
    """
    cells, folder, drawing = plan_cells(config), plan_folder(config), config.drawing
    check_room(folder)
    threads, runtime = set_threads(), select_runtime(drawing.device, drawing.dtype)
    yield Note(f"device {runtime.device}: {runtime.device_reason}; dtype {runtime.dtype_name}: {runtime.dtype_reason}")
    scorer, scorer_note = open_scorer(config.clip_model, source, runtime.device)
    yield Note(scorer_note, warning=scorer is None and config.clip_model != "none")
    yield from (Note(f"left out: line {item.line}: {item.error}", warning=True) for item in unusable[:SAID])
    seed = secrets.randbelow(2**32) if drawing.seed is None else drawing.seed
    if drawing.seed is None:
        yield Note(f"seed {seed} (drawn)")
    session = open_session(source, runtime, fuse=config.fuse, backend=config.backend)
    yield from map(Note, session.notes)
    jobs = plan_jobs([Request(prompt, drawing) for prompt in prompts], seed)
    yield from prompt_notes(jobs, session, strict=False)
    bench = Comparison(replace(config, output=folder), source, session, runtime, threads, jobs, scorer)
    yield from bench.prepare()
    rows: list[ComparedRow] = []
    first_error: LdmError | None = None
    for number, cell in enumerate(cells, 1):
        try:
            row = yield from bench.measure(cell, Place(number, len(cells), number - 1))
        except (LdmError, RuntimeError, MemoryError) as error:  # torch's out-of-memory error is a RuntimeError
            known = error if isinstance(error, LdmError) else LdmError(str(error).splitlines()[0] if str(error) else repr(error))
            first_error = first_error or known
            row = failed_row(cell, known)
            yield Note(f"{row.scheduler} at {counted(row.steps, 'step')}: {known.message}", warning=True)
        rows.append(row)
        yield row
    report = ComparisonReport(
        env={**bench.env, "clip_model": scorer.name if scorer else None, "clip_note": scorer_note},
        rows=rows,
        verdicts=verdicts(rows),
        differences=differences(rows, [job.prompt for job in jobs]),
        failed=[*unusable],
    )
    yield replace(report, files=write_comparison(folder, report, bench.shown))
    if first_error and all(row.error for row in rows):
        raise first_error
    if said := what_failed(rows, unusable):
        raise PartlyFailed(said)


def what_failed(rows: Sequence[ComparedRow], unusable: Sequence[FailedItem]) -> str:
    """How many lines and configurations came to nothing, the first of each with its reason; "" if none did."""
    failed = [row for row in rows if row.error]
    said = [f"{counted(len(unusable), 'prompt')} could not be used: line {unusable[0].line}: {unusable[0].error}"] if unusable else []
    if failed:
        said.append(f"{len(failed)} of {counted(len(rows), 'configuration')} failed, the first: {failed[0].scheduler}: {failed[0].error}")
    return "; ".join(said)


def failed_row(cell: Cell, error: LdmError) -> ComparedRow:
    """A cell that could not be measured."""
    return ComparedRow(
        scheduler=cell.scheduler.name, steps=cell.steps, num_unet_calls=cell.scheduler.calls(cell.steps), budget=cell.budget,
        error=error.message,
    )  # fmt: skip
