"""How many threads compute, and how long one that has nothing to do waits for the others. Imports no torch."""

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from ldmcli.runtime.cpu_load import Load, load_now, others

SPINS_BUSY, SPINS_IDLE = 1000, 10_000
"""Rounds of GNU OpenMP's waiting loop before a thread sleeps, some ten microseconds or a hundred; its own default is 300,000, some
milliseconds."""
BLOCKTIME_MS = 1
"""The same for Intel's and LLVM's OpenMP, in milliseconds, the least above not waiting at all; their default is 200."""
MOST_BESIDE = 0.25
"""Cores that others may use of an idle machine."""


def cores() -> int:
    """How many this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def waiting(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to add to an environment so that threads wait briefly. What stands there already, if only empty, stays.

    A step of a small network is hundreds of parallel sections. At the end of each, a thread waits for the others in a loop that keeps
    its core. Beside other processes one of those others has often been put off its core by then, for as long as a time slice: the
    loop uses up the share of time that the waiting thread needs next, until threads take turns in waiting for each other and every
    section takes a slice. Threads that sleep keep their share, and are let in at once. scripts/bench/busy.py measures it.
    """
    if "OMP_WAIT_POLICY" in environment:  # says it for every OpenMP
        return {}
    ours = {"GOMP_SPINCOUNT": str(SPINS_BUSY), "KMP_BLOCKTIME": str(BLOCKTIME_MS)}
    return {name: value for name, value in ours.items() if name not in environment}


def spins(before: Load | None, now: Load | None) -> int:
    """Rounds to wait, by what else ran between two looks at the machine. Alone on it, waking a thread costs more than the wait."""
    beside = others(before, now)
    return SPINS_BUSY if beside is None or beside > MOST_BESIDE else SPINS_IDLE


def wait_briefly() -> None:
    """Set those variables for this process and those that it starts. OpenMP reads them once, when torch is imported: call it before.

    Until torch is imported the machine is watched; where it is idle then, threads wait longer.
    """
    ours = waiting(os.environ)
    os.environ.update(ours)
    if "GOMP_SPINCOUNT" in ours and "torch" not in sys.modules:
        sys.meta_path.insert(0, _AtTorch(load_now(time.monotonic())))


class _AtTorch:
    """A finder of modules that finds none: it is asked first, so it learns when torch is about to be imported. It stays where it is,
    since whoever goes through the list of finders would miss the next one if it were taken out.
    """

    def __init__(self, before: Load | None) -> None:
        self.before, self.asked = before, False

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Decide, once. What is another value by now than the one set here is somebody's choice."""
        if name == "torch" and not self.asked:
            self.asked = True
            if os.environ.get("GOMP_SPINCOUNT") == str(SPINS_BUSY):
                os.environ["GOMP_SPINCOUNT"] = str(spins(self.before, load_now(time.monotonic())))
