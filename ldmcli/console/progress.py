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
        self.stage = ""
        self.last_line = time.monotonic()

    def __enter__(self) -> Self:
        if self.enabled and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

            from ldmcli.console.preview import ProgressWithPicture

            columns = (
                TextColumn("{task.description}", markup=False), BarColumn(bar_width=None), MofNCompleteColumn(), TimeRemainingColumn(),
                TextColumn("{task.fields[extra]}", markup=False), TextColumn("{task.fields[memory]}", markup=False),
            )  # fmt: skip
            # Rich would print a redirected stdout on its own console, which is stderr: paths would miss the pipe.
            on_screen = sys.stdout.isatty()
            self.bar = ProgressWithPicture(*columns, console=Console(stderr=True), transient=True, redirect_stdout=on_screen)
            self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar is not None:
            self.bar.stop()

    def aside(self, note: Note) -> None:
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
            self._show("train", event.step, event.total, f"{terms} {event.images_per_s:.0f} img/s", event.memory)
        elif isinstance(event, Preview):
            if self.bar is not None:
                self.bar.show_picture(event.png)
        elif isinstance(event, Progress):
            self._show(event.stage, event.done, event.total, "", event.memory)

    def _show(self, stage: str, done: int, total: int, extra: str, memory: Memory | None) -> None:
        column = memory_column(memory)
        if self.bar is not None:
            if self.task is None or stage != self.stage:
                if self.task is not None:
                    self.bar.remove_task(self.task)
                self.task = self.bar.add_task(stage, total=total, extra="", memory="")
            self.bar.update(self.task, completed=done, total=total, extra=extra, memory=column)
        elif self.enabled and (time.monotonic() - self.last_line > SECONDS_BETWEEN_LINES):
            self.last_line = time.monotonic()
            print(" ".join(part for part in (f"{stage} {done}/{total}", extra, column) if part), file=sys.stderr, flush=True)
        self.stage = stage


def memory_column(memory: Memory | None) -> str:
    """VRAM where there is a GPU, else the process's resident memory."""
    if memory is None:
        return ""
    if memory.vram_bytes is not None:
        return f"{memory.vram_bytes / 2**30:.1f}/{(memory.peak_vram_bytes or 0) / 2**30:.1f} GiB VRAM"
    return f"{memory.rss_bytes / 2**30:.1f} GiB RSS"
