"""Entries of a cache that something has spoiled are made again, and that is told."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from ldmcli.data.cache import decoded_pictures, filled, open_entry
from ldmcli.data.captioned import CaptionedImage, CaptionedImages
from ldmcli.records.notes import Note


def rows(first: int, last: int) -> dict[str, torch.Tensor]:
    """Row n is filled with n."""
    return {"mean": torch.arange(first, last)[:, None].expand(-1, 5).float(), "std": torch.ones(last - first, 2)}


def put(name, body):
    return lambda entry: (entry / name).write_bytes(body) if isinstance(body, bytes) else np.save(entry / name, body)


def note(**changes):
    return lambda entry: (entry / "entry.json").write_text(json.dumps({**json.loads((entry / "entry.json").read_text()), **changes}))


def become_a_file(entry):
    shutil.rmtree(entry)
    entry.write_text("")


def become_a_link(entry):
    shutil.move(entry, entry.with_name("elsewhere"))
    (entry.with_name("elsewhere") / "entry.json").write_text("")
    entry.symlink_to("elsewhere")


def wait_for_ever(entry):
    (entry / "entry.json").unlink()
    os.mkfifo(entry / "entry.json")


DAMAGE = {
    "an array of 0 bytes": put("mean.npy", b""),
    "half a header": put("mean.npy", b"\x93NUMPY\x01\0v\0{'descr'"),
    "a header that does not close": put("mean.npy", b"\x93NUMPY\x01\0\x10\0{'descr': ((((((("),
    "an array that is no array": put("mean.npy", b"no array"),
    "another number of rows": put("mean.npy", np.zeros((3, 5), np.float16)),
    "rows of another shape": put("mean.npy", np.zeros((4, 6), np.float16)),
    "another type": put("mean.npy", np.zeros((4, 5), np.int64)),
    "objects": lambda entry: np.save(entry / "mean.npy", np.array([{}, None] * 2), allow_pickle=True),
    "an array more": put("other.npy", np.zeros((4, 5), np.float16)),
    "an array less": lambda entry: (entry / "std.npy").unlink(),
    "no facts, as of a copy that was cut short": lambda entry: (entry / "entry.json").unlink(),
    "facts of 0 bytes": put("entry.json", b""),
    "facts that are a list": put("entry.json", b"[]"),
    "facts that are a word": put("entry.json", b'"arrays"'),
    "facts nested deep": put("entry.json", b'{"a":' * 100_000),
    "facts that are no text": put("entry.json", b"\xff\xfe\0"),
    "facts that are a FIFO": wait_for_ever,
    "shapes that are a number": note(arrays=3),
    "a file in its place": become_a_file,
    "a link in its place": become_a_link,
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_entry_is_made_again_and_that_is_told(tmp_path, what):
    assert len([*filled(tmp_path / "x", 4, 2, rows, "encode")]) == 3
    DAMAGE[what](tmp_path / "x")
    assert open_entry(tmp_path / "x", lambda entry: len(entry.arrays["mean"]) == 4) is None
    told, *progress, entry = filled(tmp_path / "x", 4, 2, rows, "encode")
    assert isinstance(told, Note) and told.warning and told.text == f"{tmp_path / 'x'} is damaged, and made again" and progress
    assert entry.arrays.keys() == {"mean", "std"} and all(torch.equal(entry.arrays[name], rows(0, 4)[name].half()) for name in entry.arrays)
    assert not (tmp_path / "x").is_symlink() and [*filled(tmp_path / "x", 4, 2, rows, "encode")][1:] == []


@pytest.mark.parametrize("bad", [[], {"three": "x"}, {"-1": "x"}, {"7": "x"}, {"1": 3}, None])
def test_decoded_pictures_whose_list_of_bad_ones_makes_no_sense_are_decoded_again(tmp_path, bad):
    (tmp_path / "b.png").write_text("<html>")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    data = CaptionedImages("here", tuple(CaptionedImage(name, tmp_path / name, ("a cat",)) for name in ("a.png", "b.png")))
    assert [*decoded_pictures(data, 4, tmp_path / "cache")][-1].facts["bad"].keys() == {"1"}
    (folder,) = (tmp_path / "cache").iterdir()
    note(bad=bad)(folder)
    told, *_, entry = decoded_pictures(data, 4, tmp_path / "cache")
    assert isinstance(told, Note) and list(entry.facts["bad"]) == ["1"]


def test_an_entry_of_an_older_version_which_notes_no_shapes_is_used(tmp_path):
    assert len([*filled(tmp_path / "x", 4, 2, rows, "encode")]) == 3
    (tmp_path / "x" / "entry.json").write_text("{}")
    assert len([*filled(tmp_path / "x", 4, 2, rows, "encode")]) == 1
