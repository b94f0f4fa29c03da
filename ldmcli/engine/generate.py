"""Draw the pictures of a `generate` command: plan, load, denoise batch by batch, write, keep the manifest."""

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.aside import Aside
from ldmcli.engine.drawing import Drawn, Latents, Settings, decoded, draw, picture_facts, prompt_notes, resolve_settings
from ldmcli.engine.estimate import memory_notes
from ldmcli.engine.jobs import Job, Request, batches, digest, plan_jobs
from ldmcli.engine.manifest import Manifest
from ldmcli.engine.measure import Measuring, approximate_choices
from ldmcli.engine.measure import in_words as measured_in_words
from ldmcli.engine.outputs import plan_outputs
from ldmcli.engine.picture_writer import Finished, PictureWriter, failed_item
from ldmcli.engine.session import Session, open_session
from ldmcli.engine.staged import open_staged
from ldmcli.engine.tracing import TracedSession
from ldmcli.errors import LdmError, PartlyFailed, Stopped, UsageError
from ldmcli.models.hashes import weights_hash
from ldmcli.models.layout import own_settings
from ldmcli.models.source import Source
from ldmcli.models.tokenizer import Tokens
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Progress, Saved
from ldmcli.records.pictures import FailedItem, GenerateReport, ImageRecord
from ldmcli.reports.grid import MOST_PICTURES
from ldmcli.runtime.device import Runtime, select_runtime, set_threads
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
    session = opened(source, runtime, vae_dtype=config.vae_dtype)
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


class Run:
    """One command under way: what is loaded, where it writes, what has come of it so far."""

    def __init__(
        self, config: GenerateConfig, source: Source, session: Session, runtime: Runtime, writer: PictureWriter, threads: int,
    ) -> None:  # fmt: skip
        self.config, self.source, self.session, self.runtime = config, source, session, runtime
        self.writer, self.threads = writer, threads
        self.own = own_settings(source.path)
        self.unet_sha256 = weights_hash(source.path, "unet", allow_pickle=source.allow_pickle)
        self.other_weights: dict[str, Any] = {}
        if source.vae != source.path:
            self.other_weights["vae_sha256"] = weights_hash(source.vae, "vae", allow_pickle=source.allow_pickle)
        if source.loras:
            self.other_weights["loras"] = [lora.facts() for lora in source.loras]
        self.settings: dict[GenerateConfig, Settings] = {}
        self.refused: dict[GenerateConfig, UsageError] = {}
        self.done: dict[int, ImageRecord] = {}
        self.failed: list[FailedItem] = []
        self.first_error: LdmError | None = None
        self.aside: Aside[Finished] = Aside(max(8, config.batch_size), threads)
        self.measuring = Measuring(source, {(runtime.dtype_name, session.vae_dtype): session})
        self.timing = {"load_s": 0.0, "encode_s": 0.0, "denoise_s": 0.0, "decode_s": 0.0}

    def settle(self, jobs: Sequence[Job]) -> Iterator[Event]:
        """Resolve every config before anything is drawn, and say what there is to say."""
        for config in dict.fromkeys(job.config for job in jobs):
            try:
                self.settings[config] = resolve_settings(config, self.session, self.own)
            except UsageError as error:  # this scheduler cannot do this model or these steps
                self.refused[config] = error
        yield from map(Note, dict.fromkeys(text for settings in self.settings.values() for text in settings.notes))
        if self.settings:
            yield from (Note(text, warning=True) for text in dict.fromkeys(error.message for error in self.refused.values()))
        self.writer.claim([(job, self.settings[job.config]) for job in jobs if job.config in self.settings])
        if self.config.measure and not any(approximate_choices(*pair, self.runtime) for pair in self.settings.items()):
            yield Note("nothing to measure: nothing here is approximate")

    def tokens(self, job: Job) -> list[Tokens]:
        """The windows of a job's prompt."""
        return self.session.text.windows(job.prompt, weighting=job.config.weighting, long=job.config.long_prompts)

    def batch(self, jobs: list[Job]) -> Iterator[Event]:
        """Draw, write and record one batch. A picture that fails is noted, and the others go on."""
        if jobs[0].config in self.refused:
            for job in jobs:
                yield from self.noted(self.aside.add(partial(self.writer.failed, job, self.refused[job.config], noted=bool(self.settings))))
            return
        settings = self.settings[jobs[0].config]
        facts = [
            picture_facts(job, settings, self.runtime, self.source.name, self.unet_sha256, self.threads, self.config.batch_size)
            | self.other_weights
            for job in jobs
        ]
        rows = [self.writer.earlier(job, fact) for job, fact in zip(jobs, facts, strict=True)]
        there: set[int] = set()
        for job, row in zip(jobs, rows, strict=True):
            record = self.writer.already(row)
            if record is not None:
                there.add(job.number)
                yield from self.noted(self.aside.add(partial(Finished, job, record)))
        if len(there) == len(jobs):
            return
        began = time.perf_counter()
        latents = yield from draw(self.session, settings, jobs, self.timing)
        seconds = (time.perf_counter() - began) / len(jobs)
        pictures: dict[int, Image.Image] = {}
        for job, fact, one, row in zip(jobs, facts, latents, rows, strict=True):
            if job.number not in there:
                # On a CPU decoding needs the very cores that the next batch runs on: nothing would be gained, and memory lost.
                at_once = self.config.measure or self.config.low_memory or self.runtime.device.type != "cuda"
                drawn = self._decoded(one) if at_once else None
                if drawn and drawn.picture is not None:
                    pictures[job.number] = drawn.picture
                finish = partial(self._finish, job, settings, fact, drawn or one, seconds, replace=row["path"] if row else None)
                yield from self.noted(self.aside.add(finish))
        if self.config.measure:
            yield from self._measured(jobs, settings, pictures)

    def noted(self, results: Iterable[Finished]) -> Iterator[Event]:
        """Keep count of what the other thread has finished, and pass its records on."""
        for job, record, error in results:
            if record is not None:
                self.done[job.number] = record
                yield record
                if record.vae_retried_in_fp32:
                    yield Note(f"{record.path}: the VAE overflowed in {self.session.vae_dtype} and decoded again in fp32", warning=True)
            elif error is not None:
                self.failed.append(failed_item(job, error))
                self.first_error = self.first_error or error

    def _finish(
        self, job: Job, settings: Settings, facts: dict[str, Any], picture: Drawn | Latents, seconds: float, *, replace: str | None
    ) -> Finished:
        """Decode where that has not been done, write, note in the manifest. Runs in the other thread."""
        drawn = self._decoded(picture) if isinstance(picture, Latents) else picture
        dropped = self.tokens(job)[0].dropped_tokens
        return self.writer.finish(job, settings, facts, drawn, dropped_tokens=dropped, seconds=seconds + drawn.seconds, replace=replace)

    def _measured(self, jobs: list[Job], settings: Settings, pictures: dict[int, Image.Image]) -> Iterator[Event]:
        """--measure: the batch once more without each approximate choice. pictures: those drawn just now."""
        yield from self.noted(self.aside.rest())
        done = self.done
        written = {number: (done[number].path, done[number].seconds, one) for number, one in pictures.items() if number in done}
        for choice in approximate_choices(jobs[0].config, settings, self.runtime) if written else []:
            rows = yield from self.measuring.batch(jobs, choice, settings, written)
            yield from (Note(measured_in_words(row)) for row in rows)

    def _decoded(self, latents: Latents) -> Drawn:
        drawn = decoded(self.session, latents)
        self.timing["decode_s"] += drawn.seconds
        return drawn

    def trace(self, session: TracedSession, job: Job) -> Path:
        """Write the page of --trace and return its path."""
        from ldmcli.engine.trace import write_trace

        assert self.config.trace is not None
        settings = self.settings[job.config]
        facts = picture_facts(job, settings, self.runtime, self.source.name, self.unet_sha256, self.threads, self.config.batch_size)
        return write_trace(self.config.trace, session, job, settings, self.runtime, facts)
