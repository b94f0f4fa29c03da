"""Captions files that are not what they should be: refused with the reason, or counted and left out."""

import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.coco import load_coco
from ldmcli.errors import LdmError, NotFound


@pytest.fixture(autouse=True)
def quiet(capfd):
    """Whatever is loaded: stdout belongs to results (pycocotools prints there)."""
    yield
    assert capfd.readouterr().out == ""


@pytest.fixture
def pictures(tmp_path) -> Path:
    """1.png, 2.png and 3.png."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in (1, 2, 3):
        Image.new("RGB", (8, 8), "red").save(folder / f"{number}.png")
    return folder


def image(number, name=None, **more) -> dict:
    return {"id": number, "file_name": f"{number}.png" if name is None else name, **more}


def caption(number, of, text="a cat") -> dict:
    return {"id": number, "image_id": of, "caption": text}


GOOD = {"images": [image(1), image(2)], "annotations": [caption(1, 1), caption(2, 2)]}


def load(pictures: Path, body, **options) -> CaptionedImages:
    file = pictures.parent / "captions.json"
    if isinstance(body, bytes):
        file.write_bytes(body)
    else:
        file.write_text(json.dumps(body))
    return load_coco(file, pictures, **options)


def refused(pictures: Path, body, **options) -> LdmError:
    with pytest.raises(LdmError) as caught:
        load(pictures, body, **options)
    assert str(pictures.parent / "captions.json") in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not readable JSON"),
        (b"<html>", "not readable JSON"),
        (b"\xff\xfe\x00", "line 1: not UTF-16, as its byte order mark says"),
        (json.dumps(GOOD, ensure_ascii=False).replace("cat", "chaton d'été").encode("cp1252"), "line 1: not UTF-8: byte 0xe9"),
        (b"[" * 100_000, "not readable JSON"),
        ([], "no `images`"),
        ([GOOD], "no `images`"),
        ({}, "no `images`"),
        ({"annotations": GOOD["annotations"]}, "no `images`"),
        ({**GOOD, "images": []}, "no `images`"),
        ({"images": GOOD["images"]}, "no `annotations`"),
        ({**GOOD, "annotations": {}}, "no `annotations`"),
        ({**GOOD, "images": [image(1), "2.png"]}, "lacks one of id, file_name: 2.png"),
        ({**GOOD, "images": [{"id": 1}]}, "lacks one of id, file_name"),
        ({**GOOD, "annotations": [{"id": 1, "image_id": 1, "bbox": [0, 0, 1, 1]}]}, "lacks one of id, image_id, caption"),
        ({**GOOD, "images": [image(1), image("2")]}, "the ids of `images` are neither all"),
        ({**GOOD, "images": [image(None)]}, "the ids of `images` are neither all"),
        ({**GOOD, "annotations": [caption([1], 1)]}, "the ids of `annotations` are neither all"),
        ({**GOOD, "annotations": [caption(1, [1])]}, "the ids of `annotations` are neither all"),
        ({**GOOD, "images": [image(1), image(2), image(2)]}, "duplicate ids in `images`: 2"),
        ({**GOOD, "annotations": [caption(7, 1), caption(7, 2)]}, "duplicate ids in `annotations`: 7"),
        ({**GOOD, "annotations": [caption(1, 1, "")]}, "no picture with a usable caption"),
    ],
)
def test_what_is_no_captions_file_is_refused_with_the_reason(pictures, body, reason):
    error = refused(pictures, body)
    assert error.exit_code == 1
    assert reason in error.message
    assert len(error.message) < 400 + len(str(pictures))


@pytest.mark.parametrize("text", ["", "  \n ", None, 7, ["a cat"], "x" * 5_000_000, "\ud800"], ids=lambda text: repr(text)[:12])
def test_a_caption_that_says_nothing_is_left_out_and_counted(pictures, text):
    body = {**GOOD, "annotations": [*GOOD["annotations"], caption(3, 1, text)]}
    data = load(pictures, body)
    assert [i.captions for i in data.images] == [("a cat",), ("a cat",)]
    assert data.problems == ("1 x unusable caption, left out",)


def test_a_picture_without_a_usable_caption_is_left_out_and_counted(pictures):
    data = load(pictures, {"images": [image(1), image(2), image(3)], "annotations": [caption(1, 1), caption(2, 2, None)]})
    assert [i.id for i in data.images] == ["1"]
    assert data.problems == ("1 x unusable caption, left out", "2 x picture without a caption, left out")


def test_captions_are_one_line_of_text(pictures):
    data = load(pictures, {"images": [image(1)], "annotations": [caption(1, 1, "  A cat\n\t on the  mat. \n")]})
    assert data.images[0].captions == ("A cat on the mat.",)


@pytest.mark.parametrize("of", [99, None, "x", 1.5, "9" * 5000])
def test_a_caption_of_an_unknown_picture_is_counted(pictures, of):
    data = load(pictures, {**GOOD, "annotations": [*GOOD["annotations"], caption(3, of)]})
    assert len(data) == 2
    assert data.problems == ("1 x caption of an unknown picture, left out",)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "../../etc/passwd",
        "a/../../secret.png",
        "/etc/passwd",
        "1.png\0",
        "..\\secret.png",
        "C:\\secret.png",
    ],
)
def test_a_file_name_that_points_elsewhere_is_refused_and_not_opened(pictures, name):
    secret = pictures.parent / "secret.png"
    os.mkfifo(secret)  # whoever opened it would hang
    error = refused(pictures, {**GOOD, "images": [image(1), image(2, name) | {"file_name": name}]})
    assert "points outside" in error.message and repr(name) in error.message and error.exit_code == 1


@pytest.mark.parametrize("name", ["", 7, None, [], "\ud800"])
def test_a_file_name_that_is_no_text_is_that_picture_s_own_affair(pictures, name):
    body = {**GOOD, "images": [image(1), image(2) | {"file_name": name}]}
    (pictures.parent / "captions.json").write_text(json.dumps(body))
    data = load_coco(pictures.parent / "captions.json", pictures)
    assert [one.path.name for one in data.images] == ["1.png"]
    assert [(one.id, one.reason) for one in data.skipped] == [("2", "picture whose file_name is no text")]


def test_an_absolute_file_name_is_refused_even_inside_the_folder(pictures):
    assert "refused" in refused(pictures, {**GOOD, "images": [image(1, str(pictures / "1.png"))]}).message


@pytest.mark.parametrize("to", ["3.png", "../elsewhere.png"])
def test_a_link_is_followed_wherever_it_leads(pictures, to):
    shutil.copy(pictures / "3.png", pictures.parent / "elsewhere.png")
    (pictures / "link.png").symlink_to(to)
    assert len(load(pictures, {**GOOD, "images": [image(1), image(2, "link.png")]})) == 2


def test_a_picture_folder_that_is_itself_a_link_is_fine(pictures, tmp_path):
    (tmp_path / "link").symlink_to(pictures)
    load(pictures, GOOD)
    assert len(load_coco(tmp_path / "captions.json", tmp_path / "link")) == 2


def many(count: int, missing: int) -> dict:
    names = ["1.png"] * (count - missing) + [f"gone-{number}.png" for number in range(missing)]
    images = [image(number, name) for number, name in enumerate(names)]
    return {"images": images, "annotations": [caption(number, number) for number in range(count)]}


def test_up_to_one_percent_of_missing_pictures_is_only_counted(pictures):
    data = load(pictures, many(200, 2))
    assert len(data) == 198
    assert data.problems == ("2 x missing picture, left out",)


def test_more_missing_pictures_are_exit_code_6_unless_allowed(pictures):
    error = refused(pictures, many(200, 3))
    assert isinstance(error, NotFound) and error.exit_code == 6
    assert "3 of 200 pictures" in error.message and "gone-0.png" in error.message
    assert "--images" in error.hint and "--allow-missing" in error.hint
    assert len(load(pictures, many(200, 3), allow_missing=True)) == 197


def test_if_all_are_missing_allowing_it_does_not_help(pictures):
    error = refused(pictures, many(3, 3), allow_missing=True)
    assert error.exit_code == 6 and "Is --images right?" in error.hint


def test_a_name_that_no_file_system_takes_is_a_missing_picture(pictures):
    assert "1 of 2 pictures" in refused(pictures, {**GOOD, "images": [image(1), image(2, "x" * 5000)]}).message[:200]
