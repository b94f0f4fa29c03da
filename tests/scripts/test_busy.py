"""The neighbours of scripts/bench/busy.py compute while they are wanted, and never longer."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

BENCH = Path(__file__).parents[2] / "scripts" / "bench"
sys.path.insert(0, str(BENCH))

import busy  # noqa: E402

DEADLINE_S = 120


def children() -> list[psutil.Process]:
    """The neighbours of this process."""
    return [child for child in psutil.Process().children() if busy.NEIGHBOUR in child.cmdline()]


def computes(process: psutil.Process) -> bool:
    """Whether it is there, and more than an entry that nobody has asked for yet."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_they_run_inside_and_an_error_ends_them():
    with pytest.raises(RuntimeError), busy.neighbours(2):
        assert len(children()) == 2
        raise RuntimeError
    assert children() == []


def test_they_end_when_the_bench_is_killed():
    code = "import busy, time\nwith busy.neighbours(1) as _:\n    print('there', flush=True)\n    time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=BENCH, stdout=subprocess.PIPE, text=True) as bench:
        try:
            assert bench.stdout.readline() == "there\n"
            left = psutil.Process(bench.pid).children()
        finally:
            bench.kill()
    end = time.monotonic() + DEADLINE_S
    while any(map(computes, left)):
        assert time.monotonic() < end, "a neighbour outlives the bench"
        time.sleep(0.05)
    assert len(left) == 1


def test_sides_take_turns_and_every_figure_is_kept():
    order = []
    sides = {name: lambda name=name: order.append(name) or len(order) for name in ("ldm", "diffusers", "before")}
    assert busy.measured(sides, 2) == {"ldm": [1, 6], "diffusers": [2, 5], "before": [3, 4]}
    assert order == ["ldm", "diffusers", "before", "before", "diffusers", "ldm"]
