"""Where a training script goes on after it was stopped: the state that it kept, and when its time is up."""

import os
import random
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

UNFINISHED = 75
"""Exit code of a script that has kept its state and is to be called again (EX_TEMPFAIL of sysexits.h)."""
EVERY = 300
"""Seconds from one kept state to the next."""


class ResumePoint:
    """One file of a run folder. minutes: of this call, after which the state is kept and the script ends."""

    def __init__(self, folder: Path, minutes: float) -> None:
        self.path, self.minutes = folder / "resume.pt", minutes
        self.started = self.kept = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """What was kept, if anything."""
        return torch.load(self.path, weights_only=False) if self.path.is_file() else None

    def is_due(self) -> bool:
        """Whether it is time to keep the state again."""
        return time.monotonic() - self.kept > EVERY or self.is_over()

    def is_over(self) -> bool:
        """Whether the call's time is up."""
        return time.monotonic() - self.started > 60 * self.minutes

    def keep(self, state: Mapping[str, Any]) -> None:
        """Write it whole or not at all; with the call's time up, end the script."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_suffix(".partial")
        torch.save(dict(state), unfinished)
        os.replace(unfinished, self.path)
        self.kept = time.monotonic()
        if self.is_over():
            print(f"time is up after step {state['step']}: call again to go on", flush=True)
            raise SystemExit(UNFINISHED)


def add_options(parser: ArgumentParser, steps: int) -> None:
    """--steps and --max-minutes, the same for every script that trains."""
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--max-minutes", type=float, default=1e9, help="keep the state and end with exit code 75 after so many minutes")


class Stateful(Protocol):
    """A network or an optimizer."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Any) -> Any: ...


def keep(point: ResumePoint, step: int, learning: Mapping[str, Stateful], rng: random.Random) -> None:
    """After so many steps: every part's state, and that of the generator that draws the batches."""
    state = {name: part.state_dict() for name, part in learning.items()}
    point.keep({"step": step, "rng": rng.getstate(), "torch": torch.get_rng_state(), **state})


def go_on(point: ResumePoint, learning: Mapping[str, Stateful], rng: random.Random) -> int:
    """Put back what was kept, if anything. Returns how many steps are done."""
    kept = point.load()
    if kept is None:
        return 0
    for name, part in learning.items():
        part.load_state_dict(kept[name])
    rng.setstate(kept["rng"])
    torch.set_rng_state(kept["torch"])
    return int(kept["step"])
