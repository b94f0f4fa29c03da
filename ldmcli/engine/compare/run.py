"""The same noise through every scheduler and step count, measured against one converged walk."""

import secrets
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from ldmcli.config.measuring import CompareConfig
from ldmcli.engine.compare.comparison import Comparison
from ldmcli.engine.compare.plan import Cell, claimed_folder, plan_cells, plan_folder
from ldmcli.engine.compare.scorer import open_scorer
from ldmcli.engine.compare.statistics import differences, verdicts
from ldmcli.engine.compare.walk import pieces_of
from ldmcli.engine.plan import plan_jobs
from ldmcli.engine.requests import Request
from ldmcli.engine.sampling.open_model import OpenModel
from ldmcli.engine.sampling.settings import prompt_notes
from ldmcli.engine.session import open_session
from ldmcli.errors import LdmError, PartlyFailed, PeerLost, ToldElsewhere
from ldmcli.models.source import Source
from ldmcli.records.comparison import ComparedRow, ComparisonReport
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Place
from ldmcli.records.pictures import FailedItem
from ldmcli.records.words import counted
from ldmcli.reports.comparison import write_comparison
from ldmcli.runtime.device import select_runtime, set_threads
from ldmcli.runtime.room import check_room
from ldmcli.runtime.team import Team
from ldmcli.runtime.teamwork import in_a_sentence, own_device, run_as_team

SAID = 5
"""Lines that cannot be used and are named before anything is drawn."""


@run_as_team
def run_comparison(
    team: Team, config: CompareConfig, source: Source, prompts: Sequence[str], unusable: Sequence[FailedItem] = ()
) -> Iterator[Event]:
    """Yield notes, progress, a ComparedRow per scheduler and step count, and the report. A cell that fails is a row with its error.

    unusable: lines of a prompts file. Raises PartlyFailed after the report when there are some, or some cells failed, or what stopped
    the first when all did.
    """
    cells, drawing = plan_cells(config), config.drawing
    plan_folder(config)
    check_room((config.output or Path("outputs")).expanduser())
    threads, runtime = set_threads(), select_runtime(own_device(drawing.device), drawing.dtype)
    yield Note(f"device {runtime.device}: {runtime.device_reason}; dtype {runtime.dtype_name}: {runtime.dtype_reason}")
    scorer, scorer_note = open_scorer(config.clip_model, source, runtime.device) if team.main else (None, "")
    yield Note(scorer_note, warning=scorer is None and config.clip_model != "none")
    yield from (Note(f"left out: line {item.line}: {item.error}", warning=True) for item in unusable[:SAID])
    seed = team.agree("seed", secrets.randbelow(2**32) if drawing.seed is None else drawing.seed)
    if drawing.seed is None:
        yield Note(f"seed {seed} (drawn)")
    session = open_session(source, runtime, fuse=config.fuse, backend=config.backend)
    yield from map(Note, session.notes)
    jobs = list(plan_jobs([Request(prompt, drawing) for prompt in prompts], seed))
    yield from prompt_notes(jobs, session, strict=False)
    with ExitStack() as stack:
        folder = team.agree("folder", stack.enter_context(claimed_folder(config)) if team.main else Path())
        model = OpenModel(source, session, runtime)
        bench = Comparison(replace(config, output=folder), model, threads, jobs, scorer, team)
        yield from bench.prepare()
        rows, first_error = yield from _measure_all(bench, cells)
        if not team.main:
            return
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


def _measure_all(bench: Comparison, cells: Sequence[Cell]) -> Generator[Event, None, tuple[list[ComparedRow], LdmError | None]]:
    """The rows, and what stopped the first that failed. In all processes but the first there are none."""
    rows: list[ComparedRow] = []
    first_error: LdmError | None = None
    for number, cell in enumerate(cells, 1):
        row: ComparedRow | None
        place = Place(number, len(cells), number - 1)
        try:
            row = yield from bench.measure(cell, place)
        except (PeerLost, ToldElsewhere):
            raise
        except (LdmError, RuntimeError, MemoryError) as error:  # torch's out-of-memory error is a RuntimeError
            bench.team.send(pieces_of(place), None)  # nobody waits for this one's share of it
            known = in_a_sentence(error)
            first_error = first_error or known
            row = failed_row(cell, known)
            yield Note(f"{row.scheduler} at {counted(row.steps, 'step')}: {known.message}", warning=True)
        if row is not None:
            rows.append(row)
            yield row
    return rows, first_error


def failed_row(cell: Cell, error: LdmError) -> ComparedRow:
    """A cell that could not be measured."""
    return ComparedRow(
        scheduler=cell.scheduler.name, steps=cell.steps, num_unet_calls=cell.scheduler.calls(cell.steps), budget=cell.budget,
        error=error.message,
    )  # fmt: skip
