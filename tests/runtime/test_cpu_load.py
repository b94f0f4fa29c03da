"""What other processes use, from given texts of /proc/stat, and the waiting that follows from it."""

import os
import time
from pathlib import Path

import pytest

from ldmcli.runtime.cpu_load import Load, load_now, others, read_load
from ldmcli.runtime.threads import SPINS_BUSY, SPINS_IDLE, spins

FIRST = """cpu  100 0 40 1000 0 0 0 0 0 0
cpu0 50 0 20 500 0 0 0 0 0 0
cpu1 50 0 20 500 0 0 0 0 0 0
intr 5 0 0
procs_running 3
"""
"""Columns: user nice system idle iowait irq softirq steal guest guest_nice, in hundredths of a second."""


def later(*columns: str) -> str:
    """The text of a second look: these columns of the processors."""
    return "".join(f"cpu{number} {line}\n" for number, line in enumerate(columns))


@pytest.mark.parametrize(
    ("second", "own", "beside"),
    [
        # a second later; this process used 0.9 s and 0.1 s of those are system
        (later("130 0 30 510 0 0 0 0 0 0", "50 0 20 600 0 0 0 0 0 0"), 0.9, 0.0),
        (later("130 0 30 510 0 0 0 0 0 0", "140 0 20 510 0 0 0 0 0 0"), 0.9, 0.9),
        (later("50 0 20 600 0 0 0 0 0 0", "50 0 20 550 50 0 0 0 0 0"), 0.0, 0.0),  # waiting for a disk is idle
        (later("50 30 20 570 0 0 0 0 0 0", "50 0 20 540 0 10 20 30 0 0"), 0.0, 0.9),  # nice, irq, softirq, steal
        (later("70 0 20 580 0 0 0 0 20 0", "50 0 20 600 0 0 0 0 0 0"), 0.0, 0.2),  # guests are counted in user already
        (later("50 0 20 600 0 0 0 0 0 0", "50 0 20 600 0 0 0 0 0 0"), 0.1, 0.0),  # a tick lost is not less than nothing
        (later("50 0 20 500 0 0 0 0 0 0", "50 0 20 500 0 0 0 0 0 0"), 0.9, None),  # clocks that stand still
        (later("0 0 0 0 0 0 0 0 0 0", "0 0 0 0 0 0 0 0 0 0"), 0.9, None),
        (later("130 0 30 510 0 0 0 0 0 0"), 0.9, None),  # a core is gone
        (later("130 0 30 510 0 0 0 0 0 0", "a few"), 0.9, None),
        (later("130 0 30 510 0 0 0 0 0 0", "50 0 20"), 0.9, None),
        ("", 0.9, None),
    ],
)
def test_what_others_used_is_what_the_cores_were_busy_less_our_own_time(second, own, beside):
    before = read_load(FIRST, {0, 1}, 100, at=5.0, own=0.0)
    now = read_load(second, {0, 1}, 100, at=6.0, own=own)
    assert others(before, now) == (None if beside is None else pytest.approx(beside, abs=1e-9))
    assert spins(before, now) == (SPINS_IDLE if beside is not None and beside <= 0.25 else SPINS_BUSY)


def test_only_the_cores_of_this_process_count():
    second = later("50 0 20 600 0 0 0 0 0 0", "150 0 20 500 0 0 0 0 0 0")
    for core, beside in ((0, 0.0), (1, 1.0)):
        looks = [read_load(text, {core}, 100, at=at, own=0.0) for text, at in ((FIRST, 5.0), (second, 6.0))]
        assert others(*looks) == pytest.approx(beside, abs=1e-9)


def test_too_short_a_time_or_another_set_of_cores_tells_nothing():
    load = Load(at=5.0, busy=1.0, idle=1.0, own=0.0, cores=2)
    assert others(load, Load(at=5.05, busy=1.0, idle=1.1, own=0.0, cores=2)) is None
    assert others(load, Load(at=6.0, busy=1.0, idle=3.0, own=0.0, cores=1)) is None
    assert others(load, None) is None and others(None, load) is None
    assert others(load, Load(at=6.0, busy=1.0, idle=3.0, own=0.0, cores=2)) == 0


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="no /proc/stat here")
def test_a_look_takes_less_than_a_millisecond_of_this_process():
    before = time.process_time()
    looks = [load_now(number) for number in range(50)]
    assert (time.process_time() - before) / 50 < 1e-3
    assert all(look is not None and look.cores == len(os.sched_getaffinity(0)) for look in looks)
