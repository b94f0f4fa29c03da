"""Processes that begin as a fork of this one: real signals and real kills, without seconds of imports each."""

import ctypes
import faulthandler
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from launch import free_port, rendezvous
from running import DEADLINE

UNFORESEEN = 70
"""The exit code of a process whose work raised."""

PR_SET_PDEATHSIG = 1

STACKS_S = 2.0
"""For one that waits for ever to print where."""


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
        """Until the condition holds or it ends. What takes longer says where it stands, is killed, and fails."""
        end = time.monotonic() + seconds
        try:
            while self.running() and not condition():
                if time.monotonic() > end:
                    self.send(signal.SIGABRT)  # faulthandler prints all its threads
                    time.sleep(STACKS_S)
                    raise AssertionError(f"waited too long: {self.said()}")
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
    files = [os.open(path, os.O_WRONLY | os.O_APPEND) for path in (out or talk, talk)]
    try:
        child = begin(work, (None, *files))
    finally:
        for file in files:
            os.close(file)
    child.talk, child.out = talk, out
    return child


def begin(work: Callable[[], int], streams: tuple[int | None, int, int]) -> Child:
    """The same with these descriptors as stdin (None: as here), stdout and stderr."""
    pid = os.fork()
    if pid:
        return Child(pid, Path(os.devnull))
    code = UNFORESEEN
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number, file in enumerate(streams):
            if file is not None:
                os.dup2(file, number)
        if streams[0] is not None:
            sys.stdin = open(0, encoding="utf-8", closefd=False)
        renew_threads()
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, encoding="utf-8", closefd=False) for number in (1, 2))
        faulthandler.enable(sys.stderr)
        code = work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else bool(end.code)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def renew_threads() -> None:
    """In a fork, torch's pool of threads is made anew by the first thread that needs it; two at once (transformers loads weights by
    several) find none: "Invalid thread pool!"."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(torch.get_num_threads())


def program(*argv: object) -> Callable[[], int]:
    """`python -m ldmcli ARGV`, all of which is imported, for a fork."""
    from ldmcli.__main__ import run

    def work() -> int:
        sys.argv = ["ldm", *map(str, argv)]
        run()
        return UNFORESEEN  # `run` ends the process

    return work


def together(works: Sequence[Callable[[], int]], folder: Path, variables: Sequence[Mapping[str, str]] = ()) -> list[Child]:
    """Processes of one run, in order. folder: for what they print.

    variables: the environment of each, by which they find each other; without, that is added which torchrun would set.
    """
    shared, round_ = rendezvous(len(works), free_port()), len(list(folder.glob("talk-0-*")))
    variables = variables or [{**shared, "RANK": str(number), "LOCAL_RANK": str(number)} for number in range(len(works))]

    def member(number: int, work: Callable[[], int]) -> Callable[[], int]:
        def begin() -> int:
            os.environ.update(variables[number])
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
    except AssertionError as late:
        raise AssertionError(f"{late}\nof all: {[(child.code, child.said()) for child in children]}") from None
    finally:
        for child in children:
            child.kill()
