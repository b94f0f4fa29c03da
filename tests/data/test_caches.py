"""What is computed once: an entry is there when it is finished, and never used for anything else."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ldmcli.data.cache import Entry, EntryWriter, decoded_pictures, filled, open_entry, to_unit_range
from ldmcli.data.captioned import CaptionedImage, CaptionedImages
from ldmcli.data.fingerprints import data_fingerprint, timed_fingerprint
from ldmcli.data.pictures import read_square
from ldmcli.records.notes import Progress


@pytest.fixture
def data(tmp_path) -> CaptionedImages:
    """Three pictures, the middle one unusable."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "c.png"):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(folder / name)
    (folder / "b.png").write_text("<html>")
    return captioned(folder, {"a.png": ("a cat",), "b.png": ("a dog",), "c.png": ("a cat", "two cats")})


def captioned(folder: Path, captions: dict[str, tuple[str, ...]]) -> CaptionedImages:
    images = (CaptionedImage(str(number), folder / name, texts) for number, (name, texts) in enumerate(captions.items()))
    return CaptionedImages("here", tuple(images))


def finish(events) -> tuple[Entry, list[Progress]]:
    *progress, entry = events
    assert isinstance(entry, Entry) and all(isinstance(event, Progress) for event in progress)
    return entry, progress


def test_pictures_are_decoded_once_and_the_bad_one_is_named(data, tmp_path):
    entry, progress = finish(decoded_pictures(data, 4, tmp_path / "cache"))
    assert entry.arrays["pixels"].shape == (3, 3, 4, 4) and entry.arrays["pixels"].dtype == torch.uint8
    for row in (0, 2):
        assert torch.equal(entry.arrays["pixels"][row], read_square(data.images[row].path, 4))
    assert not entry.arrays["pixels"][1].any()
    assert list(entry.facts["bad"]) == ["1"] and entry.facts["bad"]["1"].startswith("b.png: ")
    assert progress[-1].done == progress[-1].total == 3
    again, nothing = finish(decoded_pictures(data, 4, tmp_path / "cache"))
    assert nothing == []
    assert torch.equal(again.arrays["pixels"], entry.arrays["pixels"]) and again.facts == entry.facts


def test_another_size_is_another_entry(data, tmp_path):
    finish(decoded_pictures(data, 4, tmp_path / "cache"))
    entry, _ = finish(decoded_pictures(data, 8, tmp_path / "cache"))
    assert entry.arrays["pixels"].shape[-1] == 8
    assert len(os.listdir(tmp_path / "cache")) == 2


def test_a_changed_picture_is_decoded_again(data, tmp_path):
    before, _ = finish(decoded_pictures(data, 4, tmp_path / "cache"))
    Image.new("RGB", (8, 8), "white").save(data.images[0].path)
    after, progress = finish(decoded_pictures(data, 4, tmp_path / "cache"))
    assert progress and (after.arrays["pixels"][0] == 255).all()
    assert not (before.arrays["pixels"][0] == 255).all()


def touch(data):
    os.utime(data.images[0].path, ns=(1, 1))
    return data


def recaption(data):
    return captioned(data.images[0].path.parent, {"a.png": ("a cat",), "b.png": ("a dog",), "c.png": ("a cat", "three cats")})


def reorder(data):
    return captioned(data.images[0].path.parent, {"c.png": ("a cat", "two cats"), "b.png": ("a dog",), "a.png": ("a cat",)})


def shorten(data):
    return CaptionedImages(data.source, data.images[:2])


def repaint(data):
    Image.new("RGB", (9, 9), "white").save(data.images[0].path)
    return data


def rename(data):
    folder = data.images[0].path.parent
    (folder / "a.png").rename(folder / "d.png")
    return captioned(folder, {"d.png" if image.path.name == "a.png" else image.path.name: image.captions for image in data.images})


@pytest.mark.parametrize("change", [recaption, reorder, shorten, repaint, rename])
def test_the_fingerprint_of_the_data_changes_with(change, data):
    before = data_fingerprint(data), timed_fingerprint(data)
    assert (data_fingerprint(data), timed_fingerprint(data)) == before
    changed = change(data)
    assert data_fingerprint(changed) != before[0] and timed_fingerprint(changed) != before[1]


def test_a_fresh_copy_is_the_same_data_for_a_run_and_not_for_a_cache(data, tmp_path):
    shutil.copytree(data.images[0].path.parent, tmp_path / "moved")
    moved = captioned(tmp_path / "moved", {image.path.name: image.captions for image in data.images})
    assert (data_fingerprint(moved), timed_fingerprint(moved)) == (data_fingerprint(data), timed_fingerprint(data))
    touch(moved)
    assert data_fingerprint(moved) == data_fingerprint(data) and timed_fingerprint(moved) != timed_fingerprint(data)


def rows(first: int, last: int) -> dict[str, torch.Tensor]:
    """Row n is filled with n / 3."""
    return {"mean": torch.arange(first, last).div(3)[:, None].expand(-1, 5).clone(), "std": torch.ones(last - first, 2)}


def test_rows_are_kept_in_fp16_whatever_the_batches(tmp_path):
    for batch in (1, 3, 7, 100):
        entry, progress = finish(filled(tmp_path / f"latents-{batch}", 7, batch, rows, "encode"))
        assert torch.equal(entry.arrays["mean"], rows(0, 7)["mean"].half())
        assert entry.arrays["std"].shape == (7, 2) and entry.arrays["std"].dtype == torch.float16
        assert [event.done for event in progress] == [min(n + batch, 7) for n in range(0, 7, batch)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_rows_may_come_in_any_float_type(tmp_path, dtype):
    entry, _ = finish(filled(tmp_path / "x", 3, 2, lambda a, b: {"mean": rows(a, b)["mean"].to(dtype)}, "encode"))
    assert torch.equal(entry.arrays["mean"], rows(0, 3)["mean"].to(dtype).half())


def test_a_finished_entry_is_not_computed_again(tmp_path):
    finish(filled(tmp_path / "x", 4, 2, rows, "encode"))

    def never(first, last):
        raise AssertionError("computed again")

    entry, progress = finish(filled(tmp_path / "x", 4, 2, never, "encode"))
    assert progress == [] and torch.equal(entry.arrays["mean"], rows(0, 4)["mean"].half())


@pytest.mark.parametrize("how", ["an error", "nobody asks for more"])
def test_an_interrupted_writer_leaves_nothing_under_the_name(tmp_path, how):
    def compute(first, last):
        if first >= 2 and how == "an error":
            raise KeyboardInterrupt
        return rows(first, last)

    events = filled(tmp_path / "cache" / "x", 6, 2, compute, "encode")
    next(events)
    if how == "an error":
        with pytest.raises(KeyboardInterrupt):
            next(events)
    else:
        events.close()
    assert not (tmp_path / "cache" / "x").exists() and open_entry(tmp_path / "cache" / "x") is None
    entry, progress = finish(filled(tmp_path / "cache" / "x", 6, 2, rows, "encode"))
    assert [event.done for event in progress] == [4, 6]  # the first two rows were done already
    assert torch.equal(entry.arrays["mean"], rows(0, 6)["mean"].half())
    assert os.listdir(tmp_path / "cache") == ["x"]


def test_an_entry_appears_only_when_finished_and_the_first_one_wins(tmp_path):
    writer = EntryWriter(tmp_path / "x", {"mean": ((2, 3), "float16")})
    writer.put("mean", 0, torch.ones(2, 3))
    assert open_entry(tmp_path / "x") is None and not (tmp_path / "x").exists()
    writer.finish({"made by": 1})
    late = EntryWriter(tmp_path / "x", {"mean": ((2, 3), "float16")})
    assert late.finish({"made by": 2}).facts == {"made by": 1}
    assert os.listdir(tmp_path) == ["x"]


def test_writing_to_an_opened_entry_does_not_change_the_file(tmp_path):
    entry, _ = finish(filled(tmp_path / "x", 2, 2, rows, "encode"))
    entry.arrays["mean"].fill_(9)
    again = open_entry(tmp_path / "x")
    assert torch.equal(again.arrays["mean"], rows(0, 2)["mean"].half())


def test_unit_range_is_symmetric():
    assert to_unit_range(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]
    assert to_unit_range(torch.arange(256, dtype=torch.uint8)).diff().std() < 1e-7
