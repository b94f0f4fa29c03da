"""What other processes compute on the cores of this one, from two looks at /proc/stat. Imports no torch; None where it cannot be known."""

import os
import time
from dataclasses import dataclass

SHORTEST_S = 0.1
"""Between two looks: the system counts in hundredths of a second."""

BUSY = (0, 1, 2, 5, 6, 7)
"""Of a processor's columns: user, nice, system, irq, softirq, steal. 3 and 4 are idle and iowait; the guests after them are in user."""


@dataclass(frozen=True)
class Load:
    """One look, in seconds since some moment: `at`; `busy` and `idle`, of all cores that this process may use together; `own`, of it."""

    at: float
    busy: float
    idle: float
    own: float
    cores: int


def read_load(stat: str, cores: set[int], ticks: int, *, at: float, own: float) -> Load | None:
    """From the text of /proc/stat, which counts in so many ticks a second. None where a core has no line there, or another than known."""
    busy = idle = 0
    left = {f"cpu{core}" for core in cores}
    try:
        for line in stat.splitlines():
            name, *columns = line.split()
            if name in left:
                left.remove(name)
                counted = [int(column) for column in columns[:8]]
                busy += sum(counted[place] for place in BUSY)
                idle += counted[3] + counted[4]
    except (ValueError, IndexError):
        return None
    return None if left else Load(at, busy / ticks, idle / ticks, own, len(cores))


def load_now(at: float) -> Load | None:
    """A look at this moment, in a tenth of a millisecond. None where there is no /proc/stat."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            text = file.read()
        return read_load(text, os.sched_getaffinity(0), os.sysconf("SC_CLK_TCK"), at=at, own=time.process_time())
    except (OSError, ValueError, AttributeError):
        return None


def others(before: Load | None, now: Load | None) -> float | None:
    """How many cores other processes used between two looks. None where that cannot be told.

    A machine whose clocks stand still, as some sandboxes show them, tells nothing.
    """
    if before is None or now is None or before.cores != now.cores:
        return None
    seconds = now.at - before.at
    busy, idle = now.busy - before.busy, now.idle - before.idle
    if seconds < SHORTEST_S or not 0.5 < (busy + idle) / (seconds * now.cores) < 2:
        return None
    return max(0.0, (busy - (now.own - before.own)) / seconds)
