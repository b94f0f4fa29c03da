"""A cache that several processes build together is that of one."""

import os
import signal
from pathlib import Path

import pytest
import torch
from accelerate import PartialState  # noqa: F401  # once, and not in every fork
from forks import UNFORESEEN, ended, together
from test_unfinished_entries import finish, rows, unlike

from ldmcli.data import cache_entry as entries
from ldmcli.data.cache import filled, open_entry
from ldmcli.data.process_group import SINGLE_PROCESS, rounds
from ldmcli.data.row_ranges import RowRanges
from ldmcli.runtime.processes import join_processes


class Member:
    """Number `index` of `count`, without the others."""

    def __init__(self, index: int, count: int) -> None:
        self.index, self.count = index, count

    def gather(self, value):
        raise AssertionError("there is nobody to hear")


@pytest.mark.parametrize("pieces", [0, 1, 2, 3, 7, 64])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_piece_is_done_once_and_everybody_has_as_many_rounds(pieces, count):
    work = list(range(pieces))
    shares = [rounds(work, Member(index, count)) for index in range(count)]
    assert len({len(share) for share in shares}) == 1
    assert [piece for share in shares for part in share for piece in part] == work
    assert rounds(work, SINGLE_PROCESS) == [[piece] for piece in work]


def test_spans_join_where_they_touch():
    spans = RowRanges([(4, 6), (0, 2), (8, 9)])
    assert spans.pairs == [(0, 2), (4, 6), (8, 9)]
    spans.add(2, 5)
    assert spans.pairs == [(0, 6), (8, 9)]
    assert (1, 6) in spans and (5, 7) not in spans and (8, 9) in spans


def work(folder: Path, *die_at: int) -> int:
    """One of the processes that fill `folder`. die_at: (number of the process, first row) where it is killed. Prints its batches."""
    entries.NOTE_EVERY = 0
    with join_processes(torch.device("cpu")) as process_group:

        def compute(first: int, last: int) -> dict[str, torch.Tensor]:
            if (process_group.index, first) == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if last > first + 1:  # not the look at the first row that shows the shapes
                print(first, flush=True)
            return rows(first, last)

        finish(filled(folder, 16, 2, compute, "encode", process_group))
    return 0


def work_on_unlike(folder: Path) -> int:
    """One of the processes that write rows of unlike length."""
    with join_processes(torch.device("cpu")) as process_group:
        unlike(folder, process_group)
    return 0


def build(folder: Path, said: Path, *die_at: int) -> list[tuple[int, list[int], str]]:
    """Of each of two processes that fill `folder`: exit code, batches, what it said. said: a folder for that."""
    started = together([lambda: work(folder, *die_at)] * 2, said)
    return [(code, [int(line) for line in out.split()], talk) for code, out, talk in ended(started)]


@pytest.fixture
def said(tmp_path_factory):
    """A folder beside the one whose contents are looked at."""
    return tmp_path_factory.mktemp("said")


def assert_whole(folder: Path):
    entry = open_entry(folder)
    assert entry is not None and torch.equal(entry.arrays["mean"], rows(0, 16)["mean"].half())
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert sorted(path.name for path in folder.iterdir()) == ["entry.json", "mean.npy"]


def test_two_processes_write_the_files_of_one(tmp_path, said):
    first, second = build(tmp_path / "two" / "x", said)
    assert first[:2] == (0, [0, 2, 4, 6]) and second[:2] == (0, [8, 10, 12, 14]), (first, second)
    assert_whole(tmp_path / "two" / "x")
    finish(filled(tmp_path / "one" / "x", 16, 2, rows, "encode"))
    for name in ("entry.json", "mean.npy"):
        assert (tmp_path / "two" / "x" / name).read_bytes() == (tmp_path / "one" / "x" / name).read_bytes()


def test_two_processes_write_rows_of_unlike_length_as_one_does(tmp_path, said):
    ends = ended(together([lambda: work_on_unlike(tmp_path / "two")] * 2, said))
    assert [code for code, *_ in ends] == [0, 0], ends
    assert torch.equal(unlike(tmp_path / "one").arrays["states"].flatten(), torch.arange(14).half())
    for name in ("entry.json", "states.npy"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


@pytest.mark.parametrize(("who", "where", "left"), [(1, 12, ([6], [12, 14])), (0, 4, ([4], [6, 14]))])
def test_when_one_is_killed_the_other_ends_and_both_go_on_where_they_were(tmp_path, said, who, where, left):
    ends = build(tmp_path / "x", said, who, where)
    assert ends[who][0] == -signal.SIGKILL
    assert ends[1 - who][0] == UNFORESEEN and "PeerLost" in ends[1 - who][2]
    again = build(tmp_path / "x", said)
    assert [(code, batches) for code, batches, _ in again] == [(0, batches) for batches in left], again
    assert_whole(tmp_path / "x")


def test_what_two_have_begun_one_can_finish(tmp_path, said):
    build(tmp_path / "x", said, 1, 12)
    _, done = finish(filled(tmp_path / "x", 16, 2, rows, "encode"))
    assert done == [12, 14, 16]
    assert_whole(tmp_path / "x")
