"""Captioned pictures that are not COCO: what is recognised, and that the captions come with their pictures."""

import json
from pathlib import Path

import pytest
from PIL import Image

from ldmcli.data.layouts import load_captioned
from ldmcli.engine.train.pictures import split
from ldmcli.errors import LdmError, NotFound


def draw(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(folder / name)
    return folder


def lines(path: Path, *rows) -> None:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))


def found(data) -> list[tuple[str, tuple[str, ...]]]:
    return [(image.id, image.captions) for image in data.images]


def test_metadata_jsonl_with_one_caption_or_a_list(tmp_path):
    draw(tmp_path, "b.png", "sub/a.jpg")
    lines(
        tmp_path / "metadata.jsonl", {"file_name": "sub/a.jpg", "text": ["a cat", "two  cats"]}, {"file_name": "b.png", "caption": "a dog"}
    )
    data = load_captioned(tmp_path)
    assert data.layout == "metadata.jsonl" and data.problems == ()
    assert found(data) == [("sub/a.jpg", ("a cat", "two cats")), ("b.png", ("a dog",))]
    assert len(load_captioned(tmp_path, limit=1)) == 1
    assert found(load_captioned(tmp_path, images=tmp_path, captions=tmp_path / "metadata.jsonl")) == found(data)


def test_metadata_csv_in_the_folder_of_the_split(tmp_path):
    draw(tmp_path / "train", "a.png")
    (tmp_path / "train" / "metadata.csv").write_text('file_name,text\na.png,"a cat, sitting"\n')
    assert found(load_captioned(tmp_path)) == [("a.png", ("a cat, sitting",))]


def test_rows_of_one_picture_are_one_picture_and_never_parted_by_the_split(tmp_path):
    names = [f"{number}.png" for number in range(10)]
    draw(tmp_path, *names)
    lines(tmp_path / "metadata.jsonl", *({"file_name": place + n, "text": f"{n} {place}"} for place in ("", "./") for n in names))
    data = load_captioned(tmp_path)
    assert len(data) == 10 and all(len(image.captions) == 2 for image in data.images)
    train, held = split(list(range(10)), seed=1, share=0.3)
    assert len(held) == 3 and not {data.images[n].path for n in train} & {data.images[n].path for n in held}


def test_what_cannot_be_used_is_counted_and_listed(tmp_path):
    draw(tmp_path, *(f"{number}.png" for number in range(100)), "bare.png")
    good = [{"file_name": f"{number}.png", "text": "a cat"} for number in range(100)]
    bad = [{"file_name": "gone.png", "text": "x"}, {"file_name": "bare.png", "text": None}, '{"file_na', [1], {"text": "nothing"}]
    lines(tmp_path / "metadata.jsonl", *good, *bad)
    data = load_captioned(tmp_path)
    assert len(data) == 100
    assert sorted(s.reason for s in data.skipped) == [
        *["line that is no row with a file_name"] * 3,
        "missing picture",
        "picture without a caption",
    ]
    assert "3 x line that is no row with a file_name, left out" in data.problems
    lines(tmp_path / "metadata.jsonl", good[0], bad[0])
    with pytest.raises(NotFound, match="1 of 2 pictures"):
        load_captioned(tmp_path)
    assert len(load_captioned(tmp_path, allow_missing=True)) == 1


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "a\0.png"])
def test_a_name_that_points_elsewhere_is_refused(tmp_path, name):
    lines(tmp_path / "metadata.jsonl", {"file_name": name, "text": "x"})
    with pytest.raises(LdmError, match="points outside"):
        load_captioned(tmp_path)


def test_text_beside_the_pictures_one_caption_a_line(tmp_path):
    draw(tmp_path, "b.png", "sub/a.jpg", "bare.webp", ".hidden/x.png")
    (tmp_path / "b.txt").write_text("a dog\n\n a  big dog \n")
    (tmp_path / "sub" / "a.txt").write_bytes(b"\xef\xbb\xbfa cat")
    data = load_captioned(tmp_path)
    assert found(data) == [("b.png", ("a dog", "a big dog")), ("sub/a.jpg", ("a cat",))]
    assert data.layout == "pictures with .txt captions" and [s.id for s in data.skipped] == ["bare.webp"]


def test_a_text_that_is_none_is_told_and_left_out_only_when_that_is_asked_for(tmp_path):
    draw(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "a.txt").write_text("a cat")
    (tmp_path / "b.txt").write_bytes("a cat\na café".encode("cp1252"))
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LdmError, match=r"b\.txt, line 2: not UTF-8: byte 0xe9.*So are 1 more") as caught:
        load_captioned(tmp_path)
    assert "--allow-missing" in caught.value.hint
    data = load_captioned(tmp_path, allow_missing=True)
    assert found(data) == [("a.png", ("a cat",))] and data.problems == ("2 x picture whose .txt is not readable text, left out",)
    assert [s.id for s in data.skipped] == ["b.png", "c.png"] and "b.txt, line 2: not UTF-8" in data.skipped[0].reason


def test_a_karpathy_split_trains_on_restval_too(tmp_path):
    draw(tmp_path, "val2014/1.jpg", "train2014/2.jpg", "val2014/3.jpg")
    rows = [
        {"filepath": part, "filename": f"{n}.jpg", "cocoid": n, "split": which, "sentences": [{"raw": f"a {n}"}, {"raw": f"b {n}"}]}
        for n, part, which in ((1, "val2014", "restval"), (2, "train2014", "train"), (3, "val2014", "val"))
    ]
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": rows, "dataset": "coco"}))
    data = load_captioned(tmp_path)
    assert found(data) == [("1", ("a 1", "b 1")), ("2", ("a 2", "b 2"))] and data.layout == "Karpathy split"
    assert [image.id for image in load_captioned(tmp_path, split="val").images] == ["3"]
    odd = [{**rows[0], "cocoid": 4, "filename": 5}, {**rows[0], "cocoid": 5, "sentences": "a dog"}, {**rows[0], "sentences": [3]}, 3]
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"images": [*rows, *odd]}))
    assert found(load_captioned(tmp_path)) == [("1", ("a 1", "b 1")), ("2", ("a 2", "b 2"))]
    assert [skipped.id for skipped in load_captioned(tmp_path).skipped] == ["entry 6", "4", "5", "1"]
    (tmp_path / "dataset_coco.json").write_text('{"images": [{"split": "train"}]}')
    with pytest.raises(LdmError, match="not a Karpathy split"):
        load_captioned(tmp_path)


def test_a_folder_of_pictures_without_captions_is_not_guessed_at(tmp_path):
    draw(tmp_path, "a.png")
    with pytest.raises(NotFound, match="metadata.jsonl") as caught:
        load_captioned(tmp_path)
    assert caught.value.exit_code == 6
