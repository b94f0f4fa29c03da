"""Draw the pictures of a `generate` command: plan, load, denoise batch by batch, write, keep the manifest."""

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from PIL import Image

from ldmcli.config import GenerateConfig
from ldmcli.diffusion.catalogue import resolve
from ldmcli.engine.drawing import Drawn, Settings, draw, picture_facts, prompt_notes, resolve_settings
from ldmcli.engine.jobs import Job, Request, batches, digest, plan_jobs
from ldmcli.engine.manifest import Manifest, identity
from ldmcli.engine.measure import Measuring, approximate_choices
from ldmcli.engine.measure import in_words as measured_in_words
from ldmcli.engine.outputs import OutputPlan, plan_outputs, write_new
from ldmcli.engine.session import Session, open_session
from ldmcli.errors import LdmError, PartlyFailed, Stopped, UsageError
from ldmcli.images import enlarged, png_chunks
from ldmcli.models.hashes import weights_hash
from ldmcli.models.loading import read_json
from ldmcli.models.source import Source
from ldmcli.models.tokenizer import Tokens
from ldmcli.records import Event, FailedItem, GenerateReport, ImageRecord, Note, Progress
from ldmcli.reports.progressive import save_progress
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
    command = digest(requests)
    before = manifest.started(command, config.seed) if manifest and config.resume else None
    if config.resume and not before:
        yield Note(f"{outputs.folder} knows of no such command yet; it starts from the beginning")
    seed = before["seed"] if before else secrets.randbelow(2**32) if config.seed is None else config.seed
    if config.seed is None and any(request.seed is None for request in requests):
        yield Note(f"seed {seed} ({'as before' if before else 'drawn'})")
    jobs = plan_jobs(requests, seed)
    session = open_session(source.folder, runtime)
    yield from prompt_notes(jobs, session, strict=config.strict)
    run = Run(config, source, session, runtime, outputs.numbered_from(before["first"]) if before else outputs, manifest, threads)
    run.resumed = before is not None
    yield from run.settle(jobs)
    if manifest and not before and run.settings:
        manifest.start(command, first=outputs.first, seed=seed, pictures=len(jobs))
    run.timing["load_s"] = time.perf_counter() - started
    with signals.listening() as wishes:
        for batch in batches(jobs, config.batch_size, lambda job: len(run.tokens(job))):
            for event in run.batch(batch):
                yield event
                # between two steps, not between the pictures of a batch, which are drawn by then
                if wishes.stop is not None and isinstance(event, Progress):
                    done = f"{len(run.done)} of {len(jobs)} pictures are finished"
                    raise Stopped(
                        f"stopped by {wishes.stop.name}; {done}.",
                        exit_code=signals.EXIT_CODES[wishes.stop],
                        hint="--resume goes on." if manifest else "",
                    )
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
        self, config: GenerateConfig, source: Source, session: Session, runtime: Runtime, outputs: OutputPlan, manifest: Manifest | None,
        threads: int,
    ) -> None:  # fmt: skip
        self.config, self.source, self.session, self.runtime = config, source, session, runtime
        self.outputs, self.manifest, self.threads, self.resumed = outputs, manifest, threads, False
        self.own = read_json(source.folder / "model_index.json").get("_ldm", {})
        self.unet_sha256 = weights_hash(source.folder, "unet")
        self.settings: dict[GenerateConfig, Settings] = {}
        self.refused: dict[GenerateConfig, UsageError] = {}
        self.done: dict[int, ImageRecord] = {}
        self.failed: list[FailedItem] = []
        self.first_error: LdmError | None = None
        self.measuring = Measuring(source, {runtime.dtype_name: session})
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
        if self.config.measure and not any(approximate_choices(*pair, self.runtime) for pair in self.settings.items()):
            yield Note("nothing to measure: nothing here is approximate")

    def tokens(self, job: Job) -> list[Tokens]:
        """The windows of a job's prompt."""
        return self.session.text.windows(job.prompt, weighting=job.config.weighting, long=job.config.long_prompts)

    def batch(self, jobs: list[Job]) -> Iterator[Event]:
        """Draw, write and record one batch. A picture that fails is noted, and the others go on."""
        if jobs[0].config in self.refused:
            for job in jobs:
                self._fail(job, self.refused[job.config])
            return
        settings = self.settings[jobs[0].config]
        facts = [
            picture_facts(job, settings, self.runtime, self.source.name, self.unet_sha256, self.threads, self.config.batch_size)
            for job in jobs
        ]
        rows = [self._row(job, fact) for job, fact in zip(jobs, facts, strict=True)]
        for job, row in zip(jobs, rows, strict=True):
            record = self.manifest.finished(row) if self.manifest and row else None
            if record is not None:
                self.done[job.number] = record
                yield record
        if all(job.number in self.done for job in jobs):
            return
        began = time.perf_counter()
        drawn = yield from draw(self.session, settings, jobs, self.timing)
        seconds = (time.perf_counter() - began) / len(jobs)
        pictures: dict[int, tuple[str, Image.Image]] = {}
        for job, fact, one, row in zip(jobs, facts, drawn, rows, strict=True):
            if one.error is not None:
                self._fail(job, one.error)
            elif one.picture is not None and job.number not in self.done:
                yield self._save(job, settings, fact, one, seconds, replace=row["path"] if row else None)
                pictures[job.number] = self.done[job.number].path, one.picture
        for choice in approximate_choices(jobs[0].config, settings, self.runtime) if self.config.measure and pictures else []:
            measured = yield from self.measuring.batch(jobs, choice, settings, pictures, seconds)
            yield from (Note(measured_in_words(row)) for row in measured)

    def _row(self, job: Job, facts: dict[str, Any]) -> dict[str, Any] | None:
        """What an earlier run of this command noted about this picture."""
        if not (self.resumed and self.manifest):
            return None
        return self.manifest.pictures.get((identity(facts), self.outputs.first + job.number))

    def _save(
        self, job: Job, settings: Settings, facts: dict[str, Any], drawn: Drawn, seconds: float, *, replace: str | None
    ) -> ImageRecord:
        """Enlarge if asked, write, note in the manifest."""
        assert drawn.picture is not None
        times, resample = self.config.upscale, self.config.resample
        picture, row = enlarged(drawn.picture, times, resample), resolve(settings.solver.name)
        chunks = png_chunks(facts, row.title, row.schedule_type) if self.config.metadata else None
        path = write_new(picture, chunks, self.outputs, job.number, job.seed, resumed=self.resumed, replace=replace)
        progress = None
        if self.config.progressive:
            progress = save_progress(self.config.progressive, [(t, enlarged(frame, times, resample)) for t, frame in drawn.frames], path)
        record = ImageRecord(
            path=str(path),
            prompt=job.prompt,
            negative_prompt=job.config.negative_prompt,
            seed=job.seed,
            steps=settings.steps,
            num_unet_calls=settings.solver.num_calls,
            scheduler=settings.solver.name,
            cfg=settings.cfg,
            width=picture.width,
            height=picture.height,
            truncated_tokens=self.tokens(job)[0].dropped_tokens,
            seconds=round(seconds, 4),
            progress=str(progress) if progress else None,
            guided_calls=sum(settings.guided) if job.config.cfg_interval else None,
        )
        if self.manifest:
            self.manifest.add(record, id=identity(facts), number=self.outputs.first + job.number, line=job.line)
        self.done[job.number] = record
        return record

    def _fail(self, job: Job, error: LdmError) -> None:
        item = FailedItem(line=job.line, prompt=job.prompt, error=error.message, exit_code=error.exit_code)
        self.failed.append(item)
        self.first_error = self.first_error or error
        if self.manifest and self.settings:  # where nothing can be drawn the folder stays as it was
            self.manifest.append({"status": "failed", "number": self.outputs.first + job.number, "seed": job.seed, **asdict(item)})
