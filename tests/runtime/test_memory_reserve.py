"""What the C library keeps for the next step of a loop."""

import platform
import resource
import sys

import pytest
import torch
from forks import fork

from ldmcli.runtime.memory import keep_freed_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the GNU C library")


def pages_of_a_loop(*, keep: bool) -> int:
    """Pages fetched anew a round by a loop that makes and frees tensors as a U-Net call on several pictures does."""
    if keep:
        keep_freed_memory()
    rounds, before = 10, 0
    for number in range(-5, rounds):
        if number == 0:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        made = [torch.zeros(2**17 * (1 + i % 8)) for i in range(48)]
        del made
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // rounds


def test_a_loop_finds_again_what_it_freed(tmp_path, monkeypatch):
    for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    fetched = {}
    for name, keep in {"left alone": False, "kept": True}.items():
        child = fork(lambda keep=keep: print(pages_of_a_loop(keep=keep)) or 0, tmp_path / name)
        assert child.wait() == 0, child.said()
        fetched[name] = int(child.said())
    assert fetched["kept"] < 200 < fetched["left alone"]


def test_what_the_user_says_stands(tmp_path, monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda name: pytest.fail("the C library was told"))
    keep_freed_memory()
