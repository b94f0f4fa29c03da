"""manifest.jsonl: append-only, readable after any end, without a word about the machine."""

import hashlib
import json
import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ldmcli.outputs.manifest import Manifest
from ldmcli.records.pictures import ImageRecord


def rows_of(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_bytes().split(b"\n") if line]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def draw(generate, folder):
    return lambda *argv: generate(*argv, "-s", "5", "--steps", "1", "-o", f"{folder}/", "-q")


def test_a_start_and_a_row_for_every_picture(draw, folder):
    assert draw("a dog, \N{DOG FACE}\u2028", "a cat", "--negative", "red")[0] == 0
    start, *pictures = rows_of(folder)
    assert start == {"event": "start", "command": start["command"], "first": 0, "seed": 5, "pictures": 2, "threads": 1}
    assert [row["path"] for row in pictures] == ["00000_seed5.png", "00001_seed5.png"]
    assert [row["prompt"] for row in pictures] == ["a dog, \N{DOG FACE}\u2028", "a cat"]
    for row in pictures:
        assert row["sha256"] == hashlib.sha256((folder / row["path"]).read_bytes()).hexdigest()
        assert (row["status"], row["negative_prompt"], row["seed"], row["steps"], row["line"]) == ("ok", "red", 5, 1, None)
        assert row["seconds"] > 0 and len(row["id"]) == 16
    assert pictures[0]["id"] != pictures[1]["id"]


def test_it_holds_no_absolute_path(draw, folder, tmp_path, model):
    draw("a dog", "--progressive", "strip")
    text = (folder / "manifest.jsonl").read_text()
    assert str(tmp_path) not in text and str(model.parent) not in text
    assert rows_of(folder)[1]["progress"] == "00000_seed5.progress.png"


def test_another_command_adds_to_it_and_rewrites_nothing(draw, folder):
    draw("a dog")
    before = (folder / "manifest.jsonl").read_bytes()
    draw("a cat")
    after = (folder / "manifest.jsonl").read_bytes()
    assert after.startswith(before) and [row.get("path") for row in rows_of(folder)] == [None, "00000_seed5.png", None, "00001_seed5.png"]
    assert rows_of(folder)[2]["first"] == 1


def test_a_line_that_failed_has_its_row(draw, folder, tmp_path):
    (tmp_path / "prompts").write_text('a dog\n{"prompt": "a cat", "scheduler": "deis"}\n')
    assert draw("-f", tmp_path / "prompts")[0] == 3
    (row,) = [row for row in rows_of(folder) if row.get("status") == "failed"]
    assert (row["line"], row["prompt"], row["exit_code"], row["seed"]) == (2, "a cat", 2, 5) and "deis" in row["error"]


def test_a_single_file_has_no_manifest(generate, tmp_path):
    assert generate("a dog", "-s", "5", "--steps", "1", "-o", tmp_path / "dog.png", "-q")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["dog.png"]


RECORD = ImageRecord(
    path="x.png", prompt="caf\xe9", negative_prompt="", seed=1, steps=2, num_unet_calls=2, scheduler="ddim", cfg=1.0, width=8, height=8,
    truncated_tokens=0, seconds=0.1,
)  # fmt: skip


@pytest.fixture
def written(tmp_path):
    """A manifest of two pictures, as bytes, in a folder with the pictures."""
    manifest = Manifest(tmp_path)
    manifest.claim("c", seed=1, pictures=2, threads=1, free=lambda: 0)
    for number in range(2):
        path = tmp_path / f"{number}.png"
        path.write_bytes(b"picture %d" % number)
        manifest.add(ImageRecord(**{**vars(RECORD), "path": str(path)}), id=f"id{number}", number=number, line=None)
    return manifest.path.read_bytes()


def test_it_can_be_read_wherever_its_last_line_was_cut(written, tmp_path):
    whole = written.index(b"\n", written.index(b"id0")) + 1
    for end in range(whole, len(written) - 1):  # inside the two bytes of an e with an accent, too
        (tmp_path / "manifest.jsonl").write_bytes(written[:end])
        assert list(Manifest(tmp_path).pictures) == [("id0", 0)]


def test_what_is_added_after_a_cut_stands_on_a_line_of_its_own(written, tmp_path):
    cut = written[:-20]
    (tmp_path / "manifest.jsonl").write_bytes(cut)
    Manifest(tmp_path).add(ImageRecord(**{**vars(RECORD), "path": str(tmp_path / "1.png")}), id="id1", number=1, line=None)
    assert (tmp_path / "manifest.jsonl").read_bytes().startswith(cut + b"\n")
    assert list(Manifest(tmp_path).pictures) == [("id0", 0), ("id1", 1)]


def test_a_picture_is_finished_while_its_file_is_the_one_that_was_written(written, tmp_path):
    manifest = Manifest(tmp_path)
    row = manifest.pictures["id0", 0]
    assert manifest.finished(row) == ImageRecord(**{**vars(RECORD), "path": str(tmp_path / "0.png")})
    (tmp_path / "0.png").write_bytes(b"picture O")
    assert manifest.finished(row) is None
    (tmp_path / "0.png").unlink()
    assert manifest.finished(row) is None


def test_rubbish_and_rows_of_others_are_passed_over(written, tmp_path):
    good = json.loads(written.split(b"\n")[1])
    foreign = [
        b"\xff\xfe", b"[1, 2]", b"3", b"{" * 100_000, b'{"status": "ok"}',
        b'{"event": "start", "command": "c", "first": "0", "seed": null}',
        *(json.dumps({**good, "number": 9, **change}).encode() for change in (
            {"path": "../../etc/passwd"}, {"path": "/etc/passwd"}, {"path": None}, {"progress": "../x"}, {"id": []}, {"number": "0"},
            {"status": "failed"},
        )),
    ]  # fmt: skip
    (tmp_path / "manifest.jsonl").write_bytes(b"\n".join(foreign) + b"\n" + written)
    manifest = Manifest(tmp_path)
    assert list(manifest.pictures) == [("id0", 0), ("id1", 1)]
    assert manifest.started("c", None)["seed"] == 1 and manifest.started("c", 1) and not manifest.started("c", 2)
    assert manifest.started("other", None) is None


def test_the_newest_start_counts(tmp_path):
    for seed in (1, 2, 1):
        Manifest(tmp_path).claim("c", seed=seed, pictures=4, threads=1, free=lambda: 0)
    assert Manifest(tmp_path).started("c", None)["first"] == 8
    assert Manifest(tmp_path).started("c", 2)["first"] == 4


def test_a_folder_of_that_name_is_an_error_without_a_traceback(draw, folder):
    (folder / "manifest.jsonl").mkdir(parents=True)
    for extra in ((), ("--resume",)):
        code, out, err = draw("a dog", *extra)
        assert code == 1 and out == "" and "manifest.jsonl" in err and "Traceback" not in err


def test_numbers_that_were_promised_are_given_to_nobody_else(tmp_path):
    claims = [Manifest(tmp_path).claim("c", seed=seed, pictures=3, threads=1, free=lambda: 0)["first"] for seed in range(3)]
    assert claims == [0, 3, 6]
    assert Manifest(tmp_path).claim("d", seed=0, pictures=1, threads=1, free=lambda: 20)["first"] == 20
    assert Manifest(tmp_path).claim("c", seed=1, pictures=3, threads=1, free=lambda: 0, join=True)["first"] == 3


def test_a_rewritten_manifest_keeps_what_others_add(tmp_path):
    """Also the row of one that has opened the file and waits for its lock."""
    mine, other = Manifest(tmp_path), Manifest(tmp_path)
    for number in range(3):
        other.append({"row": number})
    assert len(mine.rows) == 3
    other.append({"row": 3})
    waiting = threading.Thread(target=lambda: Manifest(tmp_path).append({"row": 4}), daemon=True)
    with other._open():
        waiting.start()
        last = time.monotonic() + 10
        while times_open(mine.path) < 2 and time.monotonic() < last:
            time.sleep(0.005)
        os.replace(shutil.copy(mine.path, tmp_path / "copy"), mine.path)
    waiting.join(10)
    mine.rewrite([{"row": 2}, {"row": 1}])
    assert [row["row"] for row in Manifest(tmp_path).rows] == [2, 1, 3, 4]


def times_open(path: Path) -> int:
    """How often this process has a file open."""
    found = 0
    for file in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += os.readlink(file) == str(path)
    return found
