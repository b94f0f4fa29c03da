"""`ldm` in processes of its own that begin as a fork of this one."""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch._dynamo  # noqa: F401  # like the next two, for the forks: a first optimizer and a first plot import these
from accelerate import Accelerator  # noqa: F401
from forks import Child, fork, together
from matplotlib import pyplot  # noqa: F401
from runs import argv_for, events_of

from ldmcli.cli import main
from ldmcli.commands import train_unet, train_vae  # noqa: F401  # the command line imports the one that is typed
from ldmcli.records.training import TrainStep


def ldm(argv: list[str], talk: Path) -> Child:
    """The command line."""
    return fork(lambda: main(argv), talk)


def ldm_together(commands: Sequence[Sequence[object]], folder: Path, variables: Sequence[Mapping[str, str]] = ()) -> list[Child]:
    """Command lines as the processes of one run. folder: for what they print; variables: as `together` has them."""
    return together([lambda argv=argv: main([str(word) for word in argv]) for argv in commands], folder, variables)


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
