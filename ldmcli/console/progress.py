"""Live progress with a memory column on a terminal, a plain line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from ldmcli.console.text import printable
from ldmcli.records.events import Event
from ldmcli.records.notes import Memory, Note, Progress
from ldmcli.records.pictures import Preview
from ldmcli.records.training import TrainStep

SECONDS_BETWEEN_LINES = 15


class LiveProgress:
    """Draws Progress and TrainStep records on stderr. Rich is only imported when stderr is a terminal."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self.bar: Any = None
        self.task: Any = None
        self.clock = Clock()
        self.last_line = time.monotonic()

    def __enter__(self) -> Self:
        if self.enabled and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn

            from ldmcli.console.preview import ProgressWithPicture

            columns = (
                TextColumn("{task.description}", markup=False), BarColumn(bar_width=None),
                *(TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("units", "place", "extra", "memory")),
            )  # fmt: skip
            # Rich would print a redirected stdout on its own console, which is stderr: paths would miss the pipe.
            on_screen = sys.stdout.isatty()
            self.bar = ProgressWithPicture(*columns, console=Console(stderr=True), transient=True, redirect_stdout=on_screen)
            self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar.leave_picture()

    def print_above(self, note: Note) -> None:
        """A sentence above the bar."""
        text = f"{'warning: ' if note.warning else ''}{printable(note.text)}"
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False, emoji=False)
        else:
            print(text, file=sys.stderr)

    def update(self, event: Event) -> None:
        """Move the bar, or print a line when the last one is old enough."""
        if isinstance(event, TrainStep):
            terms = " ".join(f"{name} {value:.4g}" for name, value in event.terms.items() if name != "grad_norm")
            self._show(Progress("train", event.step, event.total, event.memory), f"{terms} {event.images_per_s:.0f} img/s")
        elif isinstance(event, Preview):
            if self.bar is not None:
                self.bar.show_picture(event.png, keep=event.finished)
        elif isinstance(event, Progress):
            self._show(event, "")

    def _show(self, event: Progress, extra: str) -> None:
        place = event.place
        finished, total = (place.done, place.total) if place else (event.done, event.total)
        left = self.clock.left("" if place else event.stage, finished, total)
        where = ", ".join(part for part in (f"{place.number:,} of {place.total:,}" if place else "", left) if part)
        units, column = f"{event.done}/{event.total}", memory_column(event.memory)
        if self.bar is not None:
            if self.task is None:
                self.task = self.bar.add_task("", units="", place="", extra="", memory="")
            self.bar.update(
                self.task, description=event.stage, completed=finished, total=total, units=units, place=where, extra=extra, memory=column,
            )  # fmt: skip
        elif self.enabled and (time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES):
            self.last_line = time.monotonic()
            print(" ".join(part for part in (event.stage, units, where, extra, column) if part), file=sys.stderr, flush=True)


class Clock:
    """How long a job will still take, at the pace it has had so far."""

    def __init__(self) -> None:
        self.jobs: dict[tuple[str, int], tuple[float, float]] = {}
        """By name and total: what was done when it was first heard of, and when that was."""

    def left(self, name: str, done: float, total: int) -> str:
        """0:41 or 1:02:03; nothing until some of it is done."""
        now = time.monotonic()
        first, began = self.jobs.setdefault((name, total), (done, now))
        if done < first:  # the same again
            self.jobs[name, total] = done, now
        if not first < done <= total:
            return ""
        return as_clock((now - began) / (done - first) * (total - done))


def as_clock(seconds: float) -> str:
    """0:41, 12:05, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def memory_column(memory: Memory | None) -> str:
    """VRAM where there is a GPU, else the process's resident memory."""
    if memory is None:
        return ""
    if memory.vram_bytes is not None:
        return f"{memory.vram_bytes / 2**30:.1f}/{(memory.peak_vram_bytes or 0) / 2**30:.1f} GiB VRAM"
    return f"{memory.rss_bytes / 2**30:.1f} GiB RSS"
