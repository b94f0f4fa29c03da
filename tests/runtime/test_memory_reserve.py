"""What the C library keeps for the next step of a loop."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from running import DEADLINE

from ldmcli.runtime.memory import keep_freed_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")


PROGRAM = """
import ctypes
import resource
import torch
from ldmcli.runtime.memory import keep_freed_memory

def pages_of_a_loop(rounds=10):
    for number in range(-5, rounds):
        if number == 0:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        made = [torch.zeros(2**17 * (1 + i % 8)) for i in range(24)]
        del made
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // rounds

ctypes.CDLL(None).mallopt(-3, 2**17)  # M_MMAP_THRESHOLD as the library begins: all of these tensors are given back when freed
first = pages_of_a_loop()
keep_freed_memory()
print(first, pages_of_a_loop())
"""
"""Pages fetched anew a round, before and after, by a loop that makes and frees tensors as a U-Net call on several pictures does."""


@pytest.mark.parametrize("unrelated", [{}, {"MALLOC_ARENA_MAX": "2", "GLIBC_TUNABLES": "glibc.pthread.rseq=1"}])
def test_a_loop_finds_again_what_it_freed(unrelated):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))} | unrelated
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, timeout=DEADLINE)
    left_alone, kept = map(int, done.stdout.split())
    assert kept < 200 < left_alone


HUGE_PROGRAM = """
import re
from pathlib import Path
import psutil
import torch
from ldmcli.runtime.memory import keep_freed_memory

before = psutil.Process().memory_info().rss
keep_freed_memory(for_training=True)
grown = psutil.Process().memory_info().rss - before
made = [torch.ones(2**20) for _ in range(64)]  # 4 MiB each
maps = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) .*?^VmFlags: (.*?)$", Path("/proc/self/smaps").read_text(), re.MULTILINE | re.DOTALL)
asked = [(int(start, 16), int(end, 16)) for start, end, flags in maps if "hg" in flags.split()]
print(grown, sum(any(start <= one.data_ptr() < end for start, end in asked) for one in made))
"""
"""Bytes that asking took, and how many of 64 tensors lie in memory that is to be in huge pages."""

THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(not THP.is_file() or "[never]" in THP.read_text(), reason="needs a Linux that gives huge pages")
def test_tensors_of_a_training_step_lie_where_huge_pages_are_asked_for():
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run([sys.executable, "-c", HUGE_PROGRAM], capture_output=True, text=True, env=environment, timeout=DEADLINE)
    grown, there = map(int, done.stdout.split())
    assert grown <= 4 * 2**20, "nothing is touched before it is used"
    assert there >= 60


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES"])
def test_what_the_user_says_stands(monkeypatch, name):
    monkeypatch.setenv(name, "glibc.malloc.trim_threshold=131072" if name == "GLIBC_TUNABLES" else "131072")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda name: pytest.fail("the C library was told"))
    keep_freed_memory()
