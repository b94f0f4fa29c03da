"""Draw the pictures of a `generate` command: plan, load, denoise batch by batch, write, keep the manifest."""

import secrets
import time
from collections.abc import Iterator, Sequence

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.drawing import prompt_notes
from ldmcli.engine.estimate import memory_notes
from ldmcli.engine.generate_run import Run
from ldmcli.engine.jobs import Request, batches, digest, plan_jobs
from ldmcli.engine.manifest import Manifest
from ldmcli.engine.outputs import plan_outputs
from ldmcli.engine.picture_writer import PictureWriter
from ldmcli.engine.session import open_session
from ldmcli.engine.staged import open_staged
from ldmcli.engine.tracing import TracedSession
from ldmcli.errors import PartlyFailed, Stopped
from ldmcli.models.source import Source
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Progress, Saved
from ldmcli.records.pictures import FailedItem, GenerateReport
from ldmcli.reports.grid import MOST_PICTURES
from ldmcli.runtime.device import select_runtime, set_threads
from ldmcli.runtime.memory import memory
from ldmcli.training import signals


def run_generate(
    config: GenerateConfig, source: Source, requests: Sequence[Request] = (), unusable: Sequence[FailedItem] = ()
) -> Iterator[Event]:
    """Yield notes, progress, a record per picture and the report. Every picture is on disk before its record is yielded.

    requests: the prompts with their settings; without them, config.prompts with config. unusable: lines of a prompts file, which are
    reported with the failures. Raises PartlyFailed after the report when some pictures could not be made, or what
    stopped the first when none could.
    """
    requests = requests or [Request(prompt, config) for prompt in config.prompts]
    outputs = plan_outputs(config, sum(request.config.num_images for request in requests))  # before anything is loaded
    started = time.perf_counter()
    threads, runtime = set_threads(), select_runtime(config.device, config.dtype)
    yield Note(f"device {runtime.device}: {runtime.device_reason}; dtype {runtime.dtype_name}: {runtime.dtype_reason}")
    if unusable:
        yield Note(f"left out: {in_words(unusable)}", warning=True)
    manifest = Manifest(outputs.folder) if outputs.file is None else None
    if manifest and not outputs.target.numbered:
        outputs = outputs.numbered_from(manifest.next_number)
    command = digest(requests)
    before = manifest.started(command, config.seed) if manifest and config.resume else None
    if config.resume and not before:
        yield Note(f"{outputs.folder} knows of no such command yet; it starts from the beginning")
    seed = before["seed"] if before else secrets.randbelow(2**32) if config.seed is None else config.seed
    if config.seed is None and any(request.seed is None for request in requests):
        yield Note(f"seed {seed} ({'as before' if before else 'drawn'})")
    jobs = plan_jobs(requests, seed)
    opened = open_staged if config.low_memory else open_session
    session = opened(source, runtime, vae_dtype=config.vae_dtype, fuse=config.fuse and config.trace is None)
    if session.vae_dtype != runtime.dtype_name:
        yield Note(f"VAE in {session.vae_dtype}: {'as its config asks' if config.vae_dtype == 'auto' else 'as asked'}")
    if config.trace:
        session = TracedSession(**vars(session), load_s=time.perf_counter() - started)
    yield from prompt_notes(jobs, session, strict=config.strict)
    writer = PictureWriter(
        config, source.name, outputs.numbered_from(before["first"]) if before else outputs, manifest, resumed=before is not None
    )
    run = Run(config, source, session, runtime, writer, threads)
    yield from run.settle(jobs)
    yield from memory_notes(session, list(run.settings.values()), min(config.batch_size, len(jobs)))
    if manifest and not before and run.settings:
        manifest.start(command, first=outputs.first, seed=seed, pictures=len(jobs))
    run.timing["load_s"] = time.perf_counter() - started
    with signals.listening() as wishes, run.aside:
        for batch in batches(jobs, config.batch_size, lambda job: len(run.tokens(job))):
            for event in run.batch(batch):
                yield event
                if not isinstance(event, Progress):
                    continue
                yield from run.noted(run.aside.finished())
                # between two steps, not between the pictures of a batch, which are drawn by then
                if wishes.stop is not None:
                    yield from run.noted(run.aside.rest())
                    done = f"{len(run.done)} of {len(jobs)} pictures are finished"
                    raise Stopped(
                        f"stopped by {wishes.stop.name}; {done}.",
                        exit_code=signals.EXIT_CODES[wishes.stop],
                        hint="--resume goes on." if manifest else "",
                    )
        yield from run.noted(run.aside.rest())
    sheet = None
    if config.grid and run.done:
        if len(run.done) > MOST_PICTURES:
            yield Note(f"the grid shows the first {MOST_PICTURES} of {len(run.done)} pictures")
        sheet = writer.write_grid([run.done[number] for number in sorted(run.done)], len(jobs))
    page = run.trace(session, jobs[0]) if isinstance(session, TracedSession) and run.done else None
    if page:
        yield Saved("trace", page)
    run.timing["total_s"] = time.perf_counter() - started
    used = memory(runtime.device)
    failed = sorted([*unusable, *run.failed], key=lambda item: item.line or 0)
    yield GenerateReport(
        model=source.name,
        device=str(runtime.device),
        dtype=runtime.dtype_name,
        images=[run.done[number] for number in sorted(run.done)],
        failed=failed,
        timing={name: round(value, 4) for name, value in run.timing.items()},
        memory={"peak_rss_bytes": used.peak_rss_bytes, "peak_vram_bytes": used.peak_vram_bytes},
        grid=str(sheet) if sheet else None,
        trace=str(page) if page else None,
        measured=run.measuring.found if config.measure else None,
    )
    if failed and run.done:
        raise PartlyFailed(f"{len(failed)} of {len(jobs) + len(unusable)} could not be drawn: {in_words(failed)}")
    if run.first_error:
        raise run.first_error


def in_words(failed: Sequence[FailedItem]) -> str:
    """The first five and how many more."""
    where = [f"line {item.line}: {item.error}" if item.line else item.error for item in failed[:5]]
    return "; ".join(text.rstrip(".") for text in where) + (f"; and {len(failed) - 5} more." if len(failed) > 5 else ".")
