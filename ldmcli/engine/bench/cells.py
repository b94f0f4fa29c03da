"""One benchmark under way: its configurations precision by precision, each a row of the report."""

import secrets
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from ldmcli.config.generation import GenerateConfig
from ldmcli.config.measuring import BenchConfig
from ldmcli.engine.bench.machine import as_ldm_error, matmul_peak
from ldmcli.engine.bench.timing import Run, asked_row, draw_batch, measured_row
from ldmcli.engine.sampling.native_size import too_large
from ldmcli.engine.sampling.settings import SamplingSettings, resolve_settings
from ldmcli.engine.session import Session, open_session
from ldmcli.errors import LdmError, UsageError
from ldmcli.models.hashes import other_weights, weights_hash
from ldmcli.models.layout import ldm_settings
from ldmcli.models.source import Source
from ldmcli.records.costs import BenchReport, BenchRow, SpaceRow, TrainingRow
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Place, Progress
from ldmcli.reports.bench_files import save_bench
from ldmcli.runtime.device import Runtime, half_precision, select_runtime
from ldmcli.runtime.memory import Growth, memory, reset_peak

UNDISTURBED = 0.95
"""Share of the time with a processor below which the user is told."""

R = TypeVar("R", SpaceRow, TrainingRow)


def label(row: BenchRow) -> str:
    """A few words for the progress line."""
    return f"{row.dtype}, batch {row.batch_size}, {row.width}x{row.height}, {row.scheduler} {row.steps}"


class Bench:
    """One command under way: what it is told, what it has found out about the machine, and the rows so far."""

    def __init__(self, config: BenchConfig, source: Source, threads: int, count: int) -> None:
        """count: of configurations."""
        self.config, self.source, self.threads, self.count = config, source, threads, count
        self.model_defaults = ldm_settings(source.path)
        self.seed = secrets.randbelow(2**32) if config.seed is None else config.seed
        self.fuse = config.fuse and not config.compile  # the compiler has kernels of its own
        self.rows: list[BenchRow] = []
        self.spaces: list[SpaceRow] = []
        self.training: list[TrainingRow] = []
        self.peaks: dict[str, float] = {}
        self.precisions: dict[str, str] = {}
        self.truth: dict[GenerateConfig, Tensor | None] = {}
        self.first_error: LdmError | None = None
        self.env: dict[str, Any] = {
            "model": source.name, "unet_sha256": weights_hash(source.path, "unet", **source.picking), **other_weights(source),
            "prompt": config.prompt, "seed": self.seed, "runs": config.runs, "warmup": config.warmup, "compile": config.compile,
            "fuse": self.fuse, "backend": config.backend,
        }  # fmt: skip

    def save(self) -> BenchReport:
        """The report as it stands, also in the files."""
        env = {**self.env, "matmul_flops_per_s": self.peaks, "half_precision": self.precisions}
        report = BenchReport(env=env, rows=self.rows, pixel_space=self.spaces, training=self.training)
        save_bench(report, self.config)
        return report

    def open(self, runtime: Runtime, *, fuse: bool = False, backend: str = "torch") -> tuple[Session, float]:
        """The model on the device, and the seconds that took. fuse and backend: as `generate` draws with it."""
        started = time.perf_counter()
        session = open_session(self.source, runtime, fuse=fuse, backend=backend)
        return session, time.perf_counter() - started

    def peak(self, runtime: Runtime) -> Iterator[Event]:
        """Measure the roof of a precision, once, and say what there is to say about it."""
        name = runtime.dtype_name
        self.peaks[name] = matmul_peak(runtime.device, runtime.dtype)
        self.precisions[name] = half_precision(runtime.device, runtime.dtype)
        yield Note(f"{name}: {self.precisions[name]}; matrix products run at {self.peaks[name] / 1e9:,.0f} GFLOP/s")
        if name != "fp32":
            self.peaks.setdefault("fp32", matmul_peak(runtime.device, torch.float32))
            if self.precisions[name] == "emulated" or self.peaks[name] < self.peaks["fp32"]:
                ratio = self.peaks[name] / self.peaks["fp32"]
                yield Note(f"{name} is {self.precisions[name]} here, at {ratio:.2f} of fp32's speed: expect it to be slow", warning=True)

    def draw_references(self, cells: list[GenerateConfig]) -> Iterator[Event]:
        """Each configuration once in fp32, where that has not been measured anyway."""
        missing = [cell for cell in cells if fp32(cell) not in self.truth]
        if not missing:
            return
        session, _ = self.open(select_runtime(self.config.device, "fp32"), fuse=self.fuse)
        for number, cell in enumerate(missing):
            yield Progress("fp32 pictures to compare with", number, len(missing))
            self.truth.setdefault(fp32(cell), None)
            try:
                run = draw_batch(
                    session, resolve_settings(cell, session, self.model_defaults), cell.prompts[0], self.seed, cell.stated_batch_size
                )
            except Exception:  # the cell itself will tell
                continue
            self.truth[fp32(cell)] = run.pictures

    def measure(self, dtype: str, cells: list[GenerateConfig]) -> Iterator[Event]:
        """All configurations of one precision with one session."""
        runtime, first = select_runtime(self.config.device, dtype), len(self.rows)
        yield from self.peak(runtime)
        growth = Growth(runtime.device)
        session, load_s = self.open(runtime, fuse=self.fuse, backend=self.config.backend)
        yield from map(Note, session.notes if not first else ())
        if self.config.compile:
            session.unet = torch.compile(session.unet)  # type: ignore[assignment]
        yield from too_large(session, self.resolvable(session, cells))
        for cell in cells:
            try:
                self.rows.append((yield from self.measure_cell(session, runtime, cell, load_s, growth)))
            except Exception as error:  # whatever it is, the other configurations still run
                self.rows.append(asked_row(cell, error=self.note_failure(error)))
            self.save()
            share = self.rows[-1].cpu_share
            if share is not None and share < UNDISTURBED:
                yield Note(f"{label(self.rows[-1])}: had a processor for {share:.0%} of the time; others were in the way", warning=True)
        for name in self.config.compare:
            yield from self.compare(name, session, runtime, cells, first)

    def compare(self, name: str, session: Session, runtime: Runtime, cells: list[GenerateConfig], first: int) -> Iterator[Event]:
        """The configurations of one precision, whose rows stand from `first` on, in turn with another tool. Its absence stops nothing."""
        from ldmcli.engine.bench.peers.turns import compare_row, left_out, open_peer

        try:
            opened = open_peer(name, self.source, runtime, session)
        except Exception as error:  # not there, cannot draw this, or broken
            yield left_out(name, error)
            return
        if opened.peer.precision != runtime.dtype_name:
            yield Note(f"{name} computes in {opened.peer.precision}")
        for place, cell in enumerate(cells, first):
            if (row := self.rows[place]).error:
                continue
            yield Progress(f"{label(row)} against {name}", place, len(self.rows))
            settings = resolve_settings(cell, session, self.model_defaults)
            try:
                found = compare_row(session, opened, settings, cell, self.seed, runs=self.config.runs, warmup=self.config.warmup)
                self.rows[place] = replace(row, compare=[*(row.compare or []), found])
            except UsageError as error:  # it cannot do this configuration
                yield left_out(name, error, f"{label(row)}: ")
            except Exception as error:
                self.rows[place] = replace(row, error=f"{name}: {self.note_failure(error)}")
            self.save()

    def resolvable(self, session: Session, cells: list[GenerateConfig]) -> Iterator[SamplingSettings]:
        """The settings of those configurations that can be measured at all."""
        for cell in cells:
            with suppress(UsageError):  # the cell itself will tell
                yield resolve_settings(cell, session, self.model_defaults)

    def measure_cell(
        self, session: Session, runtime: Runtime, cell: GenerateConfig, load_s: float, growth: Growth
    ) -> Generator[Event, None, BenchRow]:
        """Warm up, time the runs, and hold the result against fp32 and the machine. growth: since before the session. Returns the row."""
        settings = resolve_settings(cell, session, self.model_defaults)
        row = replace(asked_row(cell, settings), load_s=load_s)
        reset_peak(session.device)
        runs: list[Run] = []
        for number in range(-self.config.warmup, self.config.runs):
            before = number + self.config.warmup
            place = Place(len(self.rows) + 1, self.count, len(self.rows) + before / (self.config.runs + self.config.warmup))
            yield Progress(label(row), max(number, 0), self.config.runs, memory(session.device), place)
            run = draw_batch(session, settings, cell.prompts[0], self.seed, cell.stated_batch_size)
            if number >= 0:
                runs.append(run)
        used, grown = memory(session.device), growth.peak_bytes()
        truth = None if runtime.dtype_name == "fp32" else self.truth[fp32(cell)]
        if runtime.dtype_name == "fp32":
            self.truth[fp32(cell)] = runs[-1].pictures
        row = replace(row, peak_vram_bytes=used.peak_vram_bytes, peak_rss_bytes=used.peak_rss_bytes, growth_bytes=grown)
        return measured_row(row, session, settings, cell, runs, truth, self.peaks[runtime.dtype_name])

    def extras(self) -> Iterator[Event]:
        """--pixel-space and --train, in the first precision that was asked for."""
        if not (self.config.pixel_space or self.config.train):
            return
        runtime = select_runtime(self.config.device, self.config.dtypes[0])
        session, _ = self.open(runtime)
        side = session.native_size
        if self.config.pixel_space:
            from ldmcli.engine.bench.pixel_space import compare_spaces

            calls = next((row.num_unet_calls for row in self.rows if row.num_unet_calls), 20)
            found = compare_spaces(session, self.source.name, calls, self.peaks[runtime.dtype_name], runs=self.config.runs)
            yield from self.collect(found, self.spaces, SpaceRow(model=self.source.name, space="pixels", shape=(3, side, side)))
        if self.config.train:
            from ldmcli.engine.bench.training import measure_training

            empty = TrainingRow(mixed_precision=runtime.dtype_name, batch_size=self.config.train_batch_size, width=side, height=side)
            yield from self.collect(measure_training(session, self.source.path, self.config, self.peaks), self.training, empty)

    def collect(self, events: Iterator[Event | R], rows: list[R], empty: R) -> Iterator[Event]:
        """Pass events on and keep the rows; a failure becomes a row, too."""
        try:
            for event in events:
                if isinstance(event, type(empty)):
                    rows.append(event)
                else:
                    yield event  # type: ignore[misc]  # not a row, so an event
        except Exception as error:
            rows.append(replace(empty, error=self.note_failure(error)))

    def note_failure(self, error: Exception) -> str:
        """The error in words; the first one decides the exit code if nothing could be measured."""
        known = as_ldm_error(error)
        self.first_error = self.first_error or known
        return known.message


def fp32(cell: GenerateConfig) -> GenerateConfig:
    """The configuration that this one is compared with."""
    return replace(cell, dtype="fp32")
