"""Writers that were killed: the next one goes on, and nothing is left behind."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch
from forks import fork

from ldmcli.data import cache_entry as entries
from ldmcli.data.cache import Entry, filled, open_entry
from ldmcli.data.process_group import SINGLE_PROCESS, ProcessGroup


def rows(first: int, last: int) -> dict[str, torch.Tensor]:
    """Row n is filled with n."""
    return {"mean": torch.arange(first, last)[:, None].expand(-1, 3).float()}


def unlike(folder: Path, process_group: ProcessGroup = SINGLE_PROCESS) -> Entry:
    """Five rows of 3, 1, 4, 1 and 5 lines, numbered throughout."""
    starts = torch.tensor([0, 3, 4, 8, 9, 14])

    def lines(first: int, last: int) -> dict[str, torch.Tensor]:
        return {"states": torch.arange(starts[first], starts[last])[:, None].float()}

    *_, entry = filled(folder, 5, 2, lines, "encode", process_group, starts=starts)
    assert isinstance(entry, Entry)
    return entry


def finish(events) -> tuple[Entry, list[int]]:
    *progress, entry = events
    return entry, [event.done for event in progress]


def test_a_writer_killed_with_9_is_gone_on_with(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("entries")

    def write() -> int:
        entries.NOTE_EVERY = 0
        for event in filled(tmp_path / "x", 8, 2, rows, "encode"):
            if event.done == 4:
                os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert fork(write, tmp_path_factory.mktemp("said") / "talk").wait() == -signal.SIGKILL
    assert os.listdir(tmp_path) == [".x.tmp"] and open_entry(tmp_path / "x") is None
    entry, done = finish(filled(tmp_path / "x", 8, 2, rows, "encode"))
    assert done == [6, 8] and torch.equal(entry.arrays["mean"], rows(0, 8)["mean"].half())
    assert os.listdir(tmp_path) == ["x"] and sorted(os.listdir(tmp_path / "x")) == ["entry.json", "mean.npy"]


@pytest.mark.parametrize("name", ["progress.json", "mean.npy"])
def test_a_damaged_rest_is_begun_again(tmp_path, name):
    events = filled(tmp_path / "x", 6, 2, rows, "encode")
    next(events)
    events.close()
    (tmp_path / ".x.tmp" / name).write_bytes(b"{")
    entry, done = finish(filled(tmp_path / "x", 6, 2, rows, "encode"))
    assert done == [2, 4, 6] and torch.equal(entry.arrays["mean"], rows(0, 6)["mean"].half())


def test_a_second_writer_works_beside_the_first(tmp_path):
    first = filled(tmp_path / "x", 6, 2, rows, "encode")
    next(first)
    entry, done = finish(filled(tmp_path / "x", 6, 2, rows, "encode"))
    assert done == [2, 4, 6]
    again, _ = finish(first)
    assert torch.equal(again.arrays["mean"], entry.arrays["mean"]) and os.listdir(tmp_path) == ["x"]


def test_rests_of_yesterday_are_swept_away_and_those_of_today_stay(tmp_path):
    for name in ("old", "new"):
        events = filled(tmp_path / name, 6, 2, rows, "encode")
        next(events)
        events.close()
    for path in (tmp_path / ".old.tmp").iterdir():
        os.utime(path, (time.time() - entries.ABANDONED_AFTER - 9,) * 2)
    finish(filled(tmp_path / "x", 6, 2, rows, "encode"))
    assert sorted(os.listdir(tmp_path)) == [".new.tmp", "x"]


def test_an_entry_that_was_cut_short_is_made_again(tmp_path):
    finish(filled(tmp_path / "x", 6, 2, rows, "encode"))
    file = tmp_path / "x" / "mean.npy"
    file.write_bytes(file.read_bytes()[:-10])
    assert open_entry(tmp_path / "x") is None
    _, *progress, entry = filled(tmp_path / "x", 6, 2, rows, "encode")
    done = [event.done for event in progress]
    assert done == [2, 4, 6] and torch.equal(entry.arrays["mean"], rows(0, 6)["mean"].half())
