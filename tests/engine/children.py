"""`ldm` in processes of their own that begin as a fork of this one: real signals and real kills, without seconds of imports each."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch._dynamo  # noqa: F401  # like the next two, for the forks: a first optimizer and a first plot import these
from accelerate import Accelerator  # noqa: F401
from matplotlib import pyplot  # noqa: F401
from runs import argv_for, events_of

from ldmcli.cli import main
from ldmcli.records.training import TrainStep


@dataclass
class Child:
    """A process. code: the exit code, or minus the signal that killed it; None while it runs."""

    pid: int
    talk: Path
    """What it prints."""
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

    def wait(self, seconds: float = 300) -> int:
        """Until it ends. Returns its code."""
        self.until(lambda: False, seconds)
        assert self.code is not None
        return self.code

    def until(self, condition: Callable[[], object], seconds: float = 300) -> None:
        """Until the condition holds or it ends."""
        end = time.monotonic() + seconds
        while self.running() and not condition():
            assert time.monotonic() < end, f"waited too long: {self.said()}"
            time.sleep(0.002)

    def send(self, number: signal.Signals) -> None:
        """A signal, if it still runs."""
        if self.running():
            os.kill(self.pid, number)


def fork(work: Callable[[], int], talk: Path) -> Child:
    """Do work in a process of its own; what it returns is the exit code."""
    pid = os.fork()
    if pid == 0:
        code = 70  # an exception that nobody foresaw
        try:
            sys.stdout = sys.stderr = talk.open("w", buffering=1)
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return Child(pid, talk)


def ldm(argv: list[str], talk: Path) -> Child:
    """The command line."""
    return fork(lambda: main(argv), talk)


def ran_through(kind, coco, model, folder: Path, **options) -> Path:
    """The run folder of a training command that ended as it should."""
    child = ldm(argv_for(kind, coco, model, folder / "run", **options), folder / "talk")
    assert child.wait() == 0, child.said()
    return folder / "run"


def killed_at(config, step: int, talk: Path) -> int:
    """Train until a step is done and logged, and kill -9 there. Returns how the process ended."""

    def work() -> int:
        for event in events_of(config):
            if isinstance(event, TrainStep) and event.step == step:
                os.kill(os.getpid(), signal.SIGKILL)
        return 0

    return fork(work, talk).wait()
