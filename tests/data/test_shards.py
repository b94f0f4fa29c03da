"""WebDataset tar shards: pictures are read in place, damage is counted, what cannot be read at random is refused."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from ldmcli.data.fingerprints import data_fingerprint
from ldmcli.data.layouts import load_captioned
from ldmcli.data.pictures import read_squares
from ldmcli.errors import LdmError, NotFound


def picture(colour) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 12), colour).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return path


def described(**row) -> bytes:
    return json.dumps(row).encode()


RED = {"000.png": picture((255, 0, 0)), "000.txt": b"a red one\nred\n", "000.json": described(caption="not read", width=16)}
BLUE = {"001.json": described(text=["a blue one"]), "001.png": picture((0, 0, 255)), "001.cls": b"7"}


def colour(image) -> list[int]:
    return read_squares(image, 4, "center")[0, :, 0, 0].tolist()


@pytest.mark.parametrize("where", ["{000..001}.tar", ".", "train", "shards"])
def test_pictures_are_read_from_their_place_in_any_order(tmp_path, where):
    folder = tmp_path if where[0] in "{." else tmp_path / where
    write(folder / "000.tar", {**RED, **BLUE})
    write(folder / "001.tar", {"deep/a.PNG": picture((0, 255, 0)), "deep/a.txt": b"a green one"})
    data = load_captioned(tmp_path / where if where[0] == "{" else tmp_path)
    assert [image.captions for image in data.images] == [("a red one", "red"), ("a blue one",), ("a green one",)]
    assert [image.id for image in data.images] == ["000/000", "000/001", "001/deep/a"]
    assert [colour(image) for image in reversed(data.images)] == [[0, 255, 0], [0, 0, 255], [255, 0, 0]]
    assert data.layout == "2 WebDataset shards" and data.problems == ()
    assert len(load_captioned(folder / "001.tar")) == 1 and len(load_captioned(folder, limit=2)) == 2


def test_a_changed_shard_or_place_is_other_data(tmp_path):
    data = load_captioned(write(tmp_path / "a.tar", {**RED, **BLUE}))
    before = data_fingerprint(data)
    assert data_fingerprint(load_captioned(tmp_path / "a.tar")) == before
    write(tmp_path / "a.tar", {**BLUE, **RED})
    assert data_fingerprint(load_captioned(tmp_path / "a.tar")) != before


def test_samples_that_lack_something_are_counted(tmp_path):
    data = load_captioned(
        write(tmp_path / "a.tar", {**RED, "x.txt": b"no picture", "y.png": picture("red"), "z.png": b"<html>", "z.txt": b"z"})
    )
    assert set(data.problems) == {"1 x sample without a picture, left out", "1 x picture without a caption, left out"}
    assert [image.id for image in data.images] == ["a/000", "a/z"]  # z is found out when it is decoded
    assert sorted(skipped.id for skipped in data.skipped) == ["a/x", "a/y"]


def test_a_shard_that_was_cut_short_gives_what_it_still_holds(tmp_path):
    shard = write(tmp_path / "a.tar", {**RED, "001.txt": b"a cat", "001.png": picture("blue")})
    with tarfile.open(shard) as archive:
        cut = archive.getmember("001.png").offset_data + 20
    shard.write_bytes(shard.read_bytes()[:cut])
    data = load_captioned(tmp_path)
    assert [image.id for image in data.images] == ["a/000"]
    assert any("cut short" in text for text in data.problems)
    assert read_squares(data.images[0], 4, "center")[0, :, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("body", [b"", b"<html>" * 200])
def test_what_is_no_tar_is_refused(tmp_path, body):
    (tmp_path / "a.tar").write_bytes(body)
    with pytest.raises(LdmError, match="not a readable tar") as caught:
        load_captioned(tmp_path)
    assert caught.value.exit_code == 1


def test_a_compressed_shard_is_refused_with_what_to_do(tmp_path):
    write(tmp_path / "a.tar", RED, "w:gz")
    with pytest.raises(LdmError, match="compressed") as caught:
        load_captioned(tmp_path)
    assert "plain .tar" in caught.value.hint


def test_a_gap_in_the_range_is_exit_6(tmp_path):
    write(tmp_path / "08.tar", RED)
    with pytest.raises(NotFound, match=r"2 of 3 shards.*09\.tar"):
        load_captioned(tmp_path / "{08..10}.tar")
