"""Draw the pictures of a `generate` command: plan, load, denoise batch by batch, write, keep the manifest."""

import time
from collections.abc import Generator, Iterable, Iterator, Sequence

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.batches import BatchList, batches
from ldmcli.engine.generate.batch_runner import Run
from ldmcli.engine.generate.command import begin, check_shared, find_command, parts_of
from ldmcli.engine.generate.frames import write_frames
from ldmcli.engine.generate.low_memory import open_low_memory
from ldmcli.engine.generate.memory_estimate import check_memory
from ldmcli.engine.generate.picture_writer import PictureWriter
from ldmcli.engine.generate.sheets import sheet_of
from ldmcli.engine.plan import JobList, plan_jobs
from ldmcli.engine.requests import Request, RequestList
from ldmcli.engine.sampling.bf16_gain import bf16_note
from ldmcli.engine.sampling.metadata import by_copies
from ldmcli.engine.sampling.open_model import open_networks
from ldmcli.engine.sampling.settings import prompt_notes
from ldmcli.engine.session import Session
from ldmcli.engine.trace.recording import TracedSession
from ldmcli.errors import Agreed, PartlyFailed, Stopped
from ldmcli.models.source import Source
from ldmcli.outputs.output_plan import plan_outputs
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Progress, Saved
from ldmcli.records.pictures import FailedItem, GenerateReport
from ldmcli.records.words import counted
from ldmcli.runtime import signals
from ldmcli.runtime.device import Runtime, select_runtime, set_threads
from ldmcli.runtime.memory import memory
from ldmcli.runtime.room import check_room
from ldmcli.runtime.team import Team
from ldmcli.runtime.teamwork import own_device, run_as_team


@run_as_team
def run_generate(
    team: Team, config: GenerateConfig, source: Source, asked: Iterable[Request] = (), unusable: Sequence[FailedItem] = ()
) -> Iterator[Event]:
    """Yield notes, progress, a record per picture and the report. Every picture is on disk before its record is yielded.

    asked: the prompts with their settings; without them, config.prompts with config. unusable: lines of a prompts file, which are
    reported with the failures. Raises PartlyFailed after the report when some pictures could not be made, or what
    stopped the first when none could.
    """
    requests = RequestList.of(asked) or RequestList(Request(prompt, config) for prompt in config.prompts)
    check_shared(config, requests, team)
    outputs = plan_outputs(config, requests.pictures, resumed=team.restarted)  # before anything is loaded
    if config.trace is not None:
        check_room(config.trace)
    started = time.perf_counter()
    threads, runtime = set_threads(), select_runtime(own_device(config.device), config.dtype)
    yield Note(f"device {runtime.device}: {runtime.device_reason}; dtype {runtime.dtype_name}: {runtime.dtype_reason}")
    if unusable:
        yield Note(f"left out: {in_words(unusable)}", warning=True)
    command = yield from find_command(team, config, outputs, requests, threads)
    config = command.config
    jobs = plan_jobs(command.requests, command.seed)
    session = yield from _open(config, source, runtime)
    yield from prompt_notes(jobs, session, strict=config.strict)
    writer = PictureWriter(config, source.name, command.outputs, command.manifest, resumed=command.resumed)
    run = Run(config, source, session, runtime, writer, command.threads, team)
    yield from run.settle(jobs)
    planned = [(settings, min(run.model.batch_size(each, settings), len(jobs))) for each, settings in run.settings.items()]
    yield from check_memory(session, planned, force=config.force)
    drawn = batches(jobs, run.batch_size, run.windows)
    if run.settings:
        yield from bf16_note(config, source, runtime, len(drawn[0]))
        begin(command, writer, team, len(jobs))
    parts = yield from parts_of(config, drawn)
    run.pictures = parts.pictures
    run.timing["load_s"] = time.perf_counter() - started
    yield from _draw_all(run, parts, resumable=command.manifest is not None)
    if not team.main:
        return
    failed = sorted([*unusable, *run.failed], key=lambda item: item.line or 0)
    yield from _report(run, jobs, failed, started)
    _raise_what_failed(run, failed, run.pictures + len(unusable))


def _raise_what_failed(run: Run, failed: Sequence[FailedItem], count: int) -> None:
    """After the report. count: pictures and unusable lines."""
    left, why = run.pictures - len(run.done) - len(run.failed), [f"process {n}: {text}" for n, text in sorted(run.team.away.items())]
    if run.team.count > 1 and left > 0:
        raise PartlyFailed(
            f"{left} of {counted(run.pictures, 'picture')} {'is' if left == 1 else 'are'} left: {'; '.join(why).rstrip('.')}.",
            hint="--resume goes on, with any number of processes.",
        )
    if failed and run.done:
        raise PartlyFailed(f"{len(failed)} of {count} could not be drawn: {in_words(failed)}")
    if run.first_error:
        raise run.first_error
    if run.failed:
        raise Agreed(run.failed[0].error, exit_code=run.failed[0].exit_code)


def _open(config: GenerateConfig, source: Source, runtime: Runtime) -> Generator[Event, None, Session]:
    """The session that the options ask for, and what there is to say of it."""
    started = time.perf_counter()
    if config.low_memory:
        session: Session = open_low_memory(
            source, runtime, vae_dtype=config.vae_dtype, fuse=by_copies(config, runtime), vae_alone=config.strength == 0
        )
    else:
        session = open_networks(config, source, runtime)
    if session.vae_dtype != runtime.dtype_name:
        yield Note(f"VAE in {session.vae_dtype}: {'as its config asks' if config.vae_dtype == 'auto' else 'as asked'}")
    yield from map(Note, session.notes)
    return TracedSession(**vars(session), load_s=time.perf_counter() - started) if config.trace else session


def _report(run: Run, jobs: JobList, failed: list[FailedItem], started: float) -> Iterator[Event]:
    """The sheet, the trace and the record of the whole command."""
    pictures = [run.done[number] for number in sorted(run.done)]
    sheet = index = page = None
    if run.config.grid and pictures:
        drawn, shown = sheet_of(jobs, run.done)
        if shown < len(pictures):
            yield Note(f"the grid shows the first {shown} of {counted(len(pictures), 'picture')}")
        sheet = run.writer.write_grid(drawn, len(jobs))
    if run.config.index:
        index = run.writer.write_index()
    frames = None
    if run.config.frames_as:
        how = {"resumed": run.writer.resumed, "provenance": run.config.metadata}
        frames = list(map(str, write_frames(run.config.frames_as, jobs, run.done, run.writer.outputs, **how)))
    if isinstance(run.session, TracedSession) and pictures:
        page = run.trace(run.session, jobs[0])
        yield Saved("trace", page)
    run.timing["total_s"] = time.perf_counter() - started
    used = memory(run.runtime.device)
    yield GenerateReport(
        model=run.source.name,
        device=str(run.runtime.device),
        dtype=run.runtime.dtype_name,
        images=pictures,
        failed=failed,
        timing={name: round(value, 4) for name, value in run.timing.items()},
        memory={"peak_rss_bytes": used.peak_rss_bytes, "peak_vram_bytes": used.peak_vram_bytes},
        grid=str(sheet) if sheet else None,
        index=str(index) if index else None,
        trace=str(page) if page else None,
        measured=run.measuring.found if run.config.measure else None,
        frames=frames,
        round_trips=[run.round_trips[number] for number in sorted(run.round_trips)] or None,
    )


def _draw_all(run: Run, parts: BatchList, *, resumable: bool) -> Iterator[Event]:
    """Draw and write everything. Raises Stopped after a signal, when what had been drawn by then is written."""
    hint = "--resume goes on." if resumable else ""
    with signals.interruptible(hint):
        try:
            with run.background:
                for number in run.team.pieces("batches", len(parts)):
                    for event in run.batch(parts[number], parts.start(number)):
                        yield event
                        if isinstance(event, Progress):
                            yield from run.collect(run.background.completed())
                yield from run.collect(run.background.drain())
            yield from run.others()
        except signals.Interrupted as stop:
            yield from run.collect(run.background.drain())
            done = f"{len(run.done)} of {counted(run.pictures, 'picture')} {'is' if run.pictures == 1 else 'are'} finished"
            raise Stopped(f"stopped by {stop.signal.name}; {done}.", exit_code=stop.exit_code, hint=hint) from None


def in_words(failed: Sequence[FailedItem]) -> str:
    """The first five and how many more."""
    where = [f"line {item.line}: {item.error}" if item.line else item.error for item in failed[:5]]
    return "; ".join(text.rstrip(".") for text in where) + (f"; and {len(failed) - 5} more." if len(failed) > 5 else ".")
