"""Processes that tests start: every wait has a deadline, none outlives its test, and none waits for somebody to read what it prints."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

DEADLINE = 240
"""Seconds: some twenty times what the slowest takes on an idle machine. pytest's own (pyproject.toml) comes after it."""


def finished(command: Sequence[object], *, seconds: float = DEADLINE, **options: Any) -> subprocess.CompletedProcess[Any]:
    """Run a command to its end; what it prints is kept, as text. options: of subprocess.run."""
    return subprocess.run([str(word) for word in command], **{"capture_output": True, "text": True, "timeout": seconds, **options})


class Running(subprocess.Popen[bytes]):
    """A process that prints into files, so that it never stops at a full pipe.

    It and what it has started are killed at its deadline, and at the end of `with`.
    """

    def __init__(self, command: Sequence[object], *, seconds: float = DEADLINE, **options: Any) -> None:
        """options: of subprocess.Popen."""
        self.files = [tempfile.TemporaryFile() for _ in range(2)]
        out, err = self.files
        usual = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err, "start_new_session": True}
        super().__init__([str(word) for word in command], **{**usual, **options})
        self.late = threading.Timer(seconds, self.end_all)
        self.late.daemon = True
        self.late.start()

    def end_all(self) -> None:
        """Kill it and its descendants."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def said(self) -> tuple[str, str]:
        """What it has printed by now to (stdout, stderr)."""
        out, err = (os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in self.files)
        return out, err

    def until(self, condition: Callable[[], object]) -> None:
        """Until the condition holds or the process ends."""
        while self.poll() is None and not condition():
            time.sleep(0.02)

    def ended(self) -> tuple[int, str, str]:
        """(exit code, stdout, stderr), once it is over."""
        code = self.wait()
        return code, *self.said()

    def __exit__(self, *error: object) -> None:
        self.late.cancel()
        self.end_all()
        self.wait()
        for file in self.files:
            file.close()
