"""Many processes write into one folder at once: nothing lost, names and manifest agree."""

import hashlib
import random
import re
import time

from forks import ended, fork
from outputs import pictures, rows_of

from ldmcli.cli import main
from ldmcli.outputs.manifest import Manifest
from ldmcli.records.pictures import ImageRecord

EIGHT, EACH = 8, 4


def at_once(works, folder):
    """(exit code, stdout, stderr) of each, all of which begin at the same moment."""
    moment = time.monotonic() + 0.3

    def begin(work):
        def wait() -> int:
            time.sleep(max(moment - time.monotonic(), 0))
            return work()

        return wait

    return ended([fork(begin(work), folder / f"talk-{n}", folder / f"said-{n}") for n, work in enumerate(works)])


def true(row, folder):
    """A row of the manifest tells what lies there."""
    return hashlib.sha256((folder / row["path"]).read_bytes()).hexdigest() == row["sha256"] and re.fullmatch(
        rf"{row['number']:05}_seed{row['seed']}\.png", row["path"]
    )


def test_eight_generates_keep_every_picture_and_every_row_is_true(model, tmp_path):
    """Four of the same seed, and four of others."""
    out, talk = tmp_path / "out", tmp_path
    argv = ["generate", "a dog", "-m", str(model), "--device", "cpu", "--steps", "1", "-q", "-n", str(EACH), "-o", f"{out}/", "-s"]
    told = at_once([lambda n=n: main([*argv, str(5 if n % 2 else 100 * n)]) for n in range(EIGHT)], talk)
    assert [code for code, _, _ in told] == [0] * EIGHT, told
    rows = [row for row in rows_of(out) if row.get("status") == "ok"]
    assert len(rows) == EIGHT * EACH == len(pictures(out)) and {row["path"] for row in rows} == set(pictures(out))
    assert all(true(row, out) for row in rows)
    assert sorted(row["number"] for row in rows) == list(range(EIGHT * EACH))
    printed = [[line.rpartition("/")[2] for line in said.split()] for _, said, _ in told]
    by_start = [[row["path"] for row in rows if first <= row["number"] < first + EACH] for first in range(0, EIGHT * EACH, EACH)]
    assert sorted(map(sorted, printed)) == sorted(map(sorted, by_start))  # each command has numbers that follow each other
    assert not list(out.glob(".ldm-*"))


def test_long_rows_of_eight_processes_do_not_run_into_each_other(tmp_path):
    """Longer than a buffered file writes at a time."""
    file = tmp_path / "x.png"
    file.write_bytes(b"x")
    record = ImageRecord(
        path=str(file), prompt="", negative_prompt="", seed=1, steps=2, num_unet_calls=2, scheduler="ddim", cfg=1.0, width=8, height=8,
        truncated_tokens=0, seconds=0.1,
    )  # fmt: skip

    def add(process: int) -> int:
        rng = random.Random(process)
        for number in range(20):
            prompt = str(process) * rng.randrange(1, 60_000)
            Manifest(tmp_path).add(ImageRecord(**{**vars(record), "prompt": prompt}), id=f"{process}", number=number, line=None)
        return 0

    told = at_once([lambda n=n: add(n) for n in range(EIGHT)], tmp_path)
    assert [code for code, _, _ in told] == [0] * EIGHT, told
    rows = Manifest(tmp_path).rows
    assert len(rows) == EIGHT * 20 == len((tmp_path / "manifest.jsonl").read_bytes().splitlines())
    assert all(row["prompt"] == row["id"] * len(row["prompt"]) for row in rows)
