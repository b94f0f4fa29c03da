"""How many threads compute, and how long one that has nothing to do waits for the others. Imports no torch."""

import os
from collections.abc import Mapping

SPINS = 1000
"""Rounds of GNU OpenMP's waiting loop before a thread sleeps, some ten microseconds; its own default is 300,000, some milliseconds."""
BLOCKTIME_MS = 1
"""The same for Intel's and LLVM's OpenMP, in milliseconds, the least above not waiting at all; their default is 200."""


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
    ours = {"GOMP_SPINCOUNT": str(SPINS), "KMP_BLOCKTIME": str(BLOCKTIME_MS)}
    return {name: value for name, value in ours.items() if name not in environment}


def wait_briefly() -> None:
    """Set those variables for this process and those that it starts. OpenMP reads them once, when torch is imported: call it before."""
    os.environ.update(waiting(os.environ))
