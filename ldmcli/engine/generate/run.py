"""Draw the pictures of a `generate` command: plan, load, denoise batch by batch, write, keep the manifest."""

import secrets
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.generate.batch_runner import Run
from ldmcli.engine.generate.frames import write_frames
from ldmcli.engine.generate.low_memory import open_low_memory
from ldmcli.engine.generate.memory_estimate import memory_notes
from ldmcli.engine.generate.picture_writer import PictureWriter
from ldmcli.engine.generate.sheets import sheet_of
from ldmcli.engine.jobs import Job, Request, batches, digest, plan_jobs
from ldmcli.engine.sampling.metadata import by_copies
from ldmcli.engine.sampling.open_model import open_networks
from ldmcli.engine.sampling.settings import prompt_notes
from ldmcli.engine.session import Session
from ldmcli.engine.trace.recording import TracedSession
from ldmcli.errors import PartlyFailed, Stopped
from ldmcli.models.source import Source
from ldmcli.outputs.manifest import Manifest
from ldmcli.outputs.output_plan import OutputPlan, plan_outputs
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Progress, Saved
from ldmcli.records.pictures import FailedItem, GenerateReport
from ldmcli.records.words import counted
from ldmcli.runtime import signals
from ldmcli.runtime.device import Runtime, select_runtime, set_threads
from ldmcli.runtime.memory import memory
from ldmcli.runtime.room import check_room


def run_generate(
    config: GenerateConfig, source: Source, requests: Sequence[Request] = (), unusable: Sequence[FailedItem] = ()
) -> Iterator[Event]:
    """Yield notes, progress, a record per picture and the report. Every picture is on disk before its record is yielded.

    requests: the prompts with their settings; without them, config.prompts with config. unusable: lines of a prompts file, which are
    reported with the failures. Raises PartlyFailed after the report when some pictures could not be made, or what
    stopped the first when none could.
    """
    requests = requests or [Request(prompt, config) for prompt in config.prompts]
    outputs = plan_outputs(config, sum(request.config.pictures for request in requests))  # before anything is loaded
    if config.trace is not None:
        check_room(config.trace)
    started = time.perf_counter()
    threads, runtime = set_threads(), select_runtime(config.device, config.dtype)
    yield Note(f"device {runtime.device}: {runtime.device_reason}; dtype {runtime.dtype_name}: {runtime.dtype_reason}")
    if unusable:
        yield Note(f"left out: {in_words(unusable)}", warning=True)
    command = yield from _find_command(config, outputs, requests)
    config = command.config
    jobs = plan_jobs(command.requests, command.seed)
    session = yield from _open(config, source, runtime)
    yield from prompt_notes(jobs, session, strict=config.strict)
    writer = PictureWriter(config, source.name, command.outputs, command.manifest, resumed=command.resumed)
    run = Run(config, source, session, runtime, writer, threads)
    yield from run.settle(jobs)
    yield from memory_notes(session, list(run.settings.values()), min(config.batch_size, len(jobs)))
    if run.settings:
        writer.begin(command.digest, command.seed, len(jobs), threads)
    run.timing["load_s"] = time.perf_counter() - started
    yield from _draw_all(run, jobs, resumable=command.manifest is not None)
    failed = sorted([*unusable, *run.failed], key=lambda item: item.line or 0)
    yield from _report(run, jobs, failed, started)
    if failed and run.done:
        raise PartlyFailed(f"{len(failed)} of {len(jobs) + len(unusable)} could not be drawn: {in_words(failed)}")
    if run.first_error:
        raise run.first_error


@dataclass(frozen=True)
class Command:
    """What a command draws and writes to. digest: see `jobs.digest`; resumed: whether the manifest knows it already."""

    config: GenerateConfig
    requests: Sequence[Request]
    outputs: OutputPlan
    manifest: Manifest | None
    digest: str
    seed: int
    resumed: bool


def _find_command(config: GenerateConfig, outputs: OutputPlan, requests: Sequence[Request]) -> Generator[Event, None, Command]:
    """Ask the folder's manifest for the same command, for --resume, and draw a seed where none was named."""
    manifest = Manifest(outputs.folder) if outputs.file is None else None
    name = digest(requests)
    before = manifest.started(name, config.seed) if manifest and config.resume else None
    if manifest and config.resume and config.fuse and not before:
        plain = [replace(request, config=replace(request.config, fuse=False)) for request in requests]
        if before := manifest.started(digest(plain), config.seed):
            yield Note(f"{outputs.folder} was begun with --no-fuse, or before there was --fuse, and goes on so")
            config, requests, name = replace(config, fuse=False), plain, digest(plain)
    if config.resume and not before:
        yield Note(f"{outputs.folder} knows of no such command yet; it starts from the beginning")
    seed = before["seed"] if before else secrets.randbelow(2**32) if config.seed is None else config.seed
    if config.seed is None and any(request.seed is None for request in requests):
        yield Note(f"seed {seed} ({'as before' if before else 'drawn'})")
    outputs = outputs.numbered_from(before["first"]) if before else outputs
    return Command(config, requests, outputs, manifest, name, seed, resumed=before is not None)


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


def _report(run: Run, jobs: Sequence[Job], failed: list[FailedItem], started: float) -> Iterator[Event]:
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


def _draw_all(run: Run, jobs: Sequence[Job], *, resumable: bool) -> Iterator[Event]:
    """Draw and write everything. Raises Stopped after a signal, when what had been drawn by then is written."""
    hint = "--resume goes on." if resumable else ""
    with signals.interruptible(hint):
        try:
            with run.background:
                for batch in batches(jobs, run.config.batch_size, run.windows):
                    for event in run.batch(batch):
                        yield event
                        if isinstance(event, Progress):
                            yield from run.collect(run.background.completed())
                yield from run.collect(run.background.drain())
        except signals.Interrupted as stop:
            yield from run.collect(run.background.drain())
            done = f"{len(run.done)} of {counted(len(jobs), 'picture')} {'is' if len(jobs) == 1 else 'are'} finished"
            raise Stopped(f"stopped by {stop.signal.name}; {done}.", exit_code=stop.exit_code, hint=hint) from None


def in_words(failed: Sequence[FailedItem]) -> str:
    """The first five and how many more."""
    where = [f"line {item.line}: {item.error}" if item.line else item.error for item in failed[:5]]
    return "; ".join(text.rstrip(".") for text in where) + (f"; and {len(failed) - 5} more." if len(failed) > 5 else ".")
