"""One `generate` command from the inside: batches drawn, written and counted."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

from PIL import Image

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.generate.approximations import ApproximationMeter, Choice, approximate_choices
from ldmcli.engine.generate.approximations import in_words as measured_in_words
from ldmcli.engine.generate.background import BackgroundTask, BackgroundWorker
from ldmcli.engine.generate.picture_writer import Finished, PictureWriter, failed_item
from ldmcli.engine.jobs import Job
from ldmcli.engine.plan import JobList
from ldmcli.engine.sampling.batch import DecodedPicture, Latents, decoded_together, draw
from ldmcli.engine.sampling.native_size import too_large
from ldmcli.engine.sampling.open_model import AT_ONCE, SMALL_AT_ONCE, OpenModel
from ldmcli.engine.sampling.preview import as_png
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.session import Session
from ldmcli.engine.trace.recording import TracedSession
from ldmcli.errors import LdmError
from ldmcli.models.source import Source
from ldmcli.models.tokenizer import Tokens
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Place
from ldmcli.records.pictures import FailedItem, ImageRecord, Preview, RoundTrip
from ldmcli.runtime.device import Runtime
from ldmcli.runtime.team import POLL_S, Team


class Run:
    """One command under way: what is loaded, where it writes, what has come of it so far."""

    def __init__(
        self, config: GenerateConfig, source: Source, session: Session, runtime: Runtime, writer: PictureWriter, threads: int, team: Team,
    ) -> None:  # fmt: skip
        self.config, self.source, self.session, self.runtime, self.team = config, source, session, runtime, team
        self.writer, self.threads = writer, threads
        self.model = OpenModel(source, session, runtime)
        self.settings: dict[GenerateConfig, SamplingSettings] = {}
        self.refused: dict[GenerateConfig, LdmError] = {}
        self.pictures = 0
        """Of the whole command, or of this --shard."""
        self.done: dict[int, ImageRecord] = {}
        self.failed: list[FailedItem] = []
        self.first_error: LdmError | None = None
        self.round_trips: dict[int, RoundTrip] = {}
        self.background: BackgroundWorker[Finished] = BackgroundWorker(max(SMALL_AT_ONCE, config.batch_size or 0), threads)
        self.measuring = ApproximationMeter(source, {(runtime.dtype_name, session.vae_dtype): session}, fuse=config.fuse)
        self.timing = {"load_s": 0.0, "encode_s": 0.0, "denoise_s": 0.0, "decode_s": 0.0}

    def settle(self, jobs: JobList) -> Iterator[Event]:
        """Resolve every config before anything is drawn, and say what there is to say."""
        self.hashing = BackgroundTask(lambda: (self.model.unet_sha256, self.model.other_weights))  # of large weights it takes seconds
        for config in jobs.configs:
            try:
                self.settings[config] = self.model.settings(config)
            except LdmError as error:  # this scheduler cannot do this model or these steps; or no picture to start from
                self.refused[config] = error
        yield from map(Note, dict.fromkeys(text for settings in self.settings.values() for text in settings.notes))
        if self.settings:
            yield from (Note(text, warning=True) for text in dict.fromkeys(error.message for error in self.refused.values()))
        yield from too_large(self.session, self.settings.values())
        self.writer.claim((job, self.settings[job.config]) for job in jobs if job.config in self.settings)
        if self.config.measure and not any(self._choices(config) for config in self.settings):
            yield Note("nothing to measure: nothing here is approximate")

    def facts(self, job: Job) -> dict[str, Any]:
        """All that a picture records. Waits for the checksums of the weights."""
        self.hashing.result()
        return self.model.facts(job, self.settings[job.config], self.threads)

    @property
    def denoising_ends(self) -> bool:
        """Whether nothing needs the U-Net once the last batch has left it."""
        return not (self.config.measure or self.config.trace or self.config.low_memory)

    def tokens(self, job: Job) -> list[Tokens]:
        """The windows of a job's prompt."""
        return self.session.text.windows(job.prompt, weighting=job.config.weighting, long=job.config.long_prompts)

    def batch_size(self, job: Job) -> int:
        """Of the batches that a job is drawn in; one that was refused is not drawn."""
        settings = self.settings.get(job.config)
        return AT_ONCE if settings is None else self.model.batch_size(job.config, settings)

    def windows(self, job: Job) -> int:
        """Of its prompt, or of the one it is on the way to, where that takes more."""
        if not job.config.long_prompts:
            return 1
        ends = [job, replace(job, prompt=job.towards.prompt)] if job.towards and job.towards.prompt else [job]
        return max(len(self.tokens(each)) for each in ends)

    def batch(self, jobs: list[Job], passed: int) -> Iterator[Event]:
        """Draw, write and record one batch. A picture that fails is noted, and the others go on. passed: how many had their turn before."""
        place = Place(passed + 1, self.pictures, passed)
        if jobs[0].config in self.refused:
            for job in jobs:
                yield from self.collect(
                    self.background.add(partial(self.writer.failed, job, self.refused[job.config], in_manifest=bool(self.settings)))
                )
            return
        settings = self.settings[jobs[0].config]
        rows = [self.writer.earlier(job, self.facts(job)) if self.writer.resumed else None for job in jobs]
        there: set[int] = set()
        for job, row in zip(jobs, rows, strict=True):
            record = self.writer.already(row)
            if record is not None:
                there.add(job.number)
                yield from self.collect(self.background.add(partial(Finished, job, record)))
        if len(there) == len(jobs):
            return
        began = time.perf_counter()
        latents = yield from draw(self.session, settings, jobs, self.timing, place)
        seconds = (time.perf_counter() - began) / len(jobs)
        if passed + len(jobs) == self.pictures and self.denoising_ends:
            self.session.end_denoising()
        pictures: dict[int, Image.Image] = {}
        # On a CPU decoding needs the very cores that the next batch runs on: nothing would be gained, and memory lost.
        at_once = self.config.measure or self.config.low_memory or self.config.preview or self.runtime.device.type != "cuda"
        wanted = [job.number not in there for job in jobs]
        drawings: Iterable[DecodedPicture | Latents] = self._decoded(latents, wanted) if at_once else compress(latents, wanted)
        for job, drawn, row in zip(compress(jobs, wanted), drawings, compress(rows, wanted), strict=True):
            picture = drawn.picture if isinstance(drawn, DecodedPicture) else None
            if self.config.preview and picture is not None and not pictures:
                yield Preview(as_png(picture), finished=True)
            if picture is not None:
                pictures[job.number] = picture
            finish = partial(self._finish, job, settings, drawn, seconds, before=row)
            yield from self.collect(self.background.add(finish))
        if self.config.measure:
            yield from self._measured(jobs, settings, pictures)

    def collect(self, results: Iterable[Finished]) -> Iterator[Event]:
        """Pass on what the other thread has finished: in process 0 of a team its records, in the others to that one."""
        for job, record, error in results:
            trip = self.round_trips.get(job.number)
            self.first_error = self.first_error or error
            self.team.send("pictures", (job.number, (record, error and failed_item(job, error), trip)))
        if self.team.main:
            yield from self.heard()

    def heard(self) -> Iterator[Event]:
        """Keep count of what any process has finished, in process 0."""
        self.team.receive()
        results = self.team.results["pictures"]
        for number in list(results):
            record, failed, trip = results.pop(number)
            if failed is not None:
                self.failed.append(failed)
            if record is None:
                continue
            self.done[number] = record
            yield record
            if trip is not None:
                trip = self.round_trips[number] = replace(trip, image=record.path)
                yield Note(f"{trip.image}: through the VAE and back, PSNR {trip.psnr:.1f} dB")
            if record.vae_retried_in_fp32:
                yield Note(f"{record.path}: the VAE overflowed in {self.session.vae_dtype} and decoded again in fp32", warning=True)

    def others(self) -> Iterator[Event]:
        """Of process 0: wait for what the other processes have under way."""
        self.team.send("pictures", None)
        while self.team.main and self.team.working("pictures"):
            time.sleep(POLL_S)
            yield from self.heard()
        yield from self.heard()

    def _finish(
        self,
        job: Job,
        settings: SamplingSettings,
        picture: DecodedPicture | Latents,
        seconds: float,
        *,
        before: dict[str, Any] | None,
    ) -> Finished:
        """Decode where that has not been done, write, note in the manifest. Runs in the other thread."""
        drawn = next(self._decoded([picture])) if isinstance(picture, Latents) else picture
        dropped = self.tokens(job)[0].dropped_tokens
        if settings.start is not None and not settings.solver.num_calls and drawn.picture is not None:
            self.round_trips[job.number] = RoundTrip("", settings.start.psnr_of(drawn.picture))
        facts, took = self.facts(job), seconds + drawn.seconds
        return self.writer.finish(job, settings, facts, drawn, dropped_tokens=dropped, seconds=took, before=before)

    def _measured(self, jobs: list[Job], settings: SamplingSettings, pictures: dict[int, Image.Image]) -> Iterator[Event]:
        """--measure: the batch once more without each approximate choice. pictures: those drawn just now."""
        yield from self.collect(self.background.drain())
        done = self.done
        written = {number: (done[number].path, done[number].seconds, one) for number, one in pictures.items() if number in done}
        for choice in self._choices(jobs[0].config) if written else []:
            rows = yield from self.measuring.batch(jobs, choice, settings, written)
            yield from (Note(measured_in_words(row)) for row in rows)

    def _choices(self, config: GenerateConfig) -> list[Choice]:
        """What is approximate in the pictures of a config."""
        usual = None if config.preset in (None, "exact") else self.model.settings(replace(config, preset=None))
        return approximate_choices(config, self.settings[config], self.runtime, usual)

    def _decoded(self, latents: Sequence[Latents], wanted: Sequence[bool] | None = None) -> Iterator[DecodedPicture]:
        """See decoded_together."""
        for drawn in decoded_together(self.session, latents, wanted):
            self.timing["decode_s"] += drawn.seconds
            yield drawn

    def trace(self, session: TracedSession, job: Job) -> Path:
        """Write the page of --trace and return its path."""
        from ldmcli.engine.trace.report import write_trace

        assert self.config.trace is not None
        settings = self.settings[job.config]
        return write_trace(self.config.trace, session, job, settings, self.runtime, self.facts(job))
