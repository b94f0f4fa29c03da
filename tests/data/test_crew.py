"""A cache that several processes build together is that of one."""

import signal
from pathlib import Path

import pytest
import torch
from launch import by_hand, ended
from test_unfinished_entries import finish, rows, unlike

from ldmcli.data.cache import filled, open_entry
from ldmcli.data.crew import ALONE, rounds
from ldmcli.data.spans import Spans


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
    assert rounds(work, ALONE) == [[piece] for piece in work]


def test_spans_join_where_they_touch():
    spans = Spans([(4, 6), (0, 2), (8, 9)])
    assert spans.pairs == [(0, 2), (4, 6), (8, 9)]
    spans.add(2, 5)
    assert spans.pairs == [(0, 6), (8, 9)]
    assert (1, 6) in spans and (5, 7) not in spans and (8, 9) in spans


PROGRAM = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import torch
from test_unfinished_entries import entries, filled, rows
from ldmcli.runtime.processes import joined
entries.NOTE_EVERY = 0
folder, die_at = Path(sys.argv[1]), sys.argv[2:]
with joined(torch.device("cpu")) as crew:
    def compute(first, last):
        if [str(crew.index), str(first)] == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if last > first + 1:  # not the look at the first row that shows the shapes
            print(first, flush=True)
        return rows(first, last)
    for event in filled(folder, 16, 2, compute, "encode", crew):
        pass
"""

UNLIKE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import torch
from test_unfinished_entries import unlike
from ldmcli.runtime.processes import joined
with joined(torch.device("cpu")) as crew:
    unlike(Path(sys.argv[1]), crew)
"""


def build(folder: Path, *die_at: object) -> list[tuple[int, list[int], str]]:
    """Of each of two processes that fill `folder`: exit code, batches, what it said."""
    started = by_hand([("-c", PROGRAM, folder, *die_at)] * 2)
    return [(code, [int(line) for line in out.split()], said) for code, out, said in ended(started)]


def assert_whole(folder: Path):
    entry = open_entry(folder)
    assert entry is not None and torch.equal(entry.arrays["mean"], rows(0, 16)["mean"].half())
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert sorted(path.name for path in folder.iterdir()) == ["entry.json", "mean.npy"]


def test_two_processes_write_the_files_of_one(tmp_path):
    first, second = build(tmp_path / "two" / "x")
    assert first[:2] == (0, [0, 2, 4, 6]) and second[:2] == (0, [8, 10, 12, 14]), (first, second)
    assert_whole(tmp_path / "two" / "x")
    finish(filled(tmp_path / "one" / "x", 16, 2, rows, "encode"))
    for name in ("entry.json", "mean.npy"):
        assert (tmp_path / "two" / "x" / name).read_bytes() == (tmp_path / "one" / "x" / name).read_bytes()


def test_two_processes_write_rows_of_unlike_length_as_one_does(tmp_path):
    said = ended(by_hand([("-c", UNLIKE, tmp_path / "two")] * 2))
    assert [code for code, *_ in said] == [0, 0], said
    assert torch.equal(unlike(tmp_path / "one").arrays["states"].flatten(), torch.arange(14).half())
    for name in ("entry.json", "states.npy"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


@pytest.mark.parametrize(("who", "where", "left"), [(1, 12, ([6], [12, 14])), (0, 4, ([4], [6, 14]))])
def test_when_one_is_killed_the_other_ends_and_both_go_on_where_they_were(tmp_path, who, where, left):
    ends = build(tmp_path / "x", who, where)
    assert ends[who][0] == -signal.SIGKILL
    assert ends[1 - who][0] == 1 and "PeerLost" in ends[1 - who][2]
    again = build(tmp_path / "x")
    assert [(code, batches) for code, batches, _ in again] == [(0, batches) for batches in left], again
    assert_whole(tmp_path / "x")


def test_what_two_have_begun_one_can_finish(tmp_path):
    build(tmp_path / "x", 1, 12)
    _, done = finish(filled(tmp_path / "x", 16, 2, rows, "encode"))
    assert done == [12, 14, 16]
    assert_whole(tmp_path / "x")
