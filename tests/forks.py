"""Processes that begin as a fork of this one: real signals and real kills, without seconds of imports each."""

import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from launch import free_port, rendezvous
from running import DEADLINE

UNFORESEEN = 70
"""The exit code of a process whose work raised."""

PR_SET_PDEATHSIG = 1


@dataclass
class Child:
    """A process. code: the exit code, or minus the signal that killed it; None while it runs."""

    pid: int
    talk: Path
    """What it prints to stderr, and to stdout unless `out` is given."""
    out: Path | None = None
    code: int | None = None

    def running(self) -> bool:
        """Whether it has not ended yet."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is None

    def said(self) -> str:
        """What it has printed by now."""
        return self.talk.read_text() if self.talk.is_file() else ""

    def printed(self) -> str:
        """What went to `out`."""
        return self.out.read_text() if self.out and self.out.is_file() else ""

    def wait(self, seconds: float = DEADLINE) -> int:
        """Until it ends. Returns its code."""
        self.until(lambda: False, seconds)
        assert self.code is not None
        return self.code

    def until(self, condition: Callable[[], object], seconds: float = DEADLINE) -> None:
        """Until the condition holds or it ends. What takes longer is killed, and fails."""
        end = time.monotonic() + seconds
        try:
            while self.running() and not condition():
                assert time.monotonic() < end, f"waited too long: {self.said()}"
                time.sleep(0.002)
        except BaseException:
            self.kill()
            raise

    def send(self, number: signal.Signals) -> None:
        """A signal, if it still runs."""
        if self.running():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Nothing is left of it."""
        if self.running():
            os.kill(self.pid, signal.SIGKILL)
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def fork(work: Callable[[], int], talk: Path, out: Path | None = None) -> Child:
    """Do work in a process of its own; what it returns is the exit code. It ends with this process, whatever ends that."""
    for path in {talk, out or talk}:
        path.write_text("")  # what an earlier process said there is not this one's
    pid = os.fork()
    if pid == 0:
        code = UNFORESEEN
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            sys.stdout, sys.stderr = _stream(out or talk, 1), _stream(talk, 2)
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            with suppress(OSError, ValueError):
                sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
    return Child(pid, talk, out)


def _stream(path: Path, number: int):
    """Let this descriptor, and the stream that is returned, write to the end of a file."""
    os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), number)
    return open(number, "w", buffering=1, encoding="utf-8", closefd=False)


def together(works: Sequence[Callable[[], int]], folder: Path) -> list[Child]:
    """Processes of one run, in order; they find each other by the variables that torchrun would set. folder: for what they print."""
    shared, round_ = rendezvous(len(works), free_port()), len(list(folder.glob("talk-0-*")))

    def member(number: int, work: Callable[[], int]) -> Callable[[], int]:
        def begin() -> int:
            os.environ.update({**shared, "RANK": str(number), "LOCAL_RANK": str(number)})
            if "accelerate" in sys.modules:  # what it knows of one process
                from accelerate.state import AcceleratorState, GradientState

                AcceleratorState._reset_state(reset_partial_state=True)
                GradientState._reset_state()
            return work()

        return begin

    return [
        fork(member(number, work), folder / f"talk-{number}-{round_}", folder / f"out-{number}-{round_}")
        for number, work in enumerate(works)
    ]


def ended(children: Sequence[Child], seconds: float = DEADLINE) -> list[tuple[int, str, str]]:
    """(exit code, stdout, stderr) of each, when all are over; none is left behind."""
    try:
        return [(child.wait(seconds), child.printed(), child.said()) for child in children]
    finally:
        for child in children:
            child.kill()
