"""The emoji data set, built from a made-up node_modules of a few pictures."""

import json
import os
import sys
from collections import Counter
from pathlib import Path

from PIL import Image

SCRIPTS = Path(__file__).parents[2] / "scripts" / "bundle"
sys.path.insert(0, str(SCRIPTS))

import build_dataset  # noqa: E402
import licences  # noqa: E402
import sources  # noqa: E402
import vector_sets  # noqa: E402

KINDS = {"background": 6, "split": 3, "placed": 4, "count": 4}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_layout_is_coco_2017(packages, tmp_path):
    out = tmp_path / "out"
    counts = build_dataset.build(out, packages, kinds=KINDS)
    notes = json.loads((out / "annotations/captions_train2017.json").read_text())
    singles = [image for image in notes["images"] if image["kind"] == "single"]
    assert counts["concepts"] == 3 and counts["pictures"] == counts["written"] == len({row["file_name"] for row in singles}) + 17
    assert list(dict.fromkeys(image["emoji"] for image in singles)) == ["1F436", "1F347", "2764"]
    drawn = {(image["emoji"], image["set"]) for image in singles if image["variation"][1:] == " 0.0 1.000 0 0 None"}
    assert len(drawn) == 3 * len(sources.SETS)
    assert set(Counter(row["file_name"] for row in singles).values()) == {1}  # there are fewer scenes
    assert {image["style"] for image in notes["images"]} == set(sources.STYLES)
    assert {image["license"] for image in notes["images"]} == {licence["id"] for licence in notes["licenses"]}
    assert {row["image_id"] for row in notes["annotations"]} == {image["id"] for image in notes["images"]}
    for image in notes["images"]:
        with Image.open(out / "train2017" / image["file_name"]) as picture:
            assert picture.size == (64, 64) == (image["width"], image["height"]) and picture.mode == "RGB"
    assert "Twemoji" in (out / "ATTRIBUTION.md").read_text()


def test_two_runs_give_the_same_bytes(packages, tmp_path):
    build_dataset.build(tmp_path / "first", packages, kinds=KINDS)
    build_dataset.build(tmp_path / "second", packages, kinds=KINDS)
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_a_second_run_draws_only_what_is_missing_or_wrong(packages, tmp_path):
    out = tmp_path / "out"
    build_dataset.build(out, packages, kinds=KINDS)
    before = contents(out)
    (out / "train2017/000000000002.png").unlink()
    (out / "train2017/000000000003.png").write_bytes(b"half a file")
    os.replace(out / "train2017/000000000001.png", out / "train2017/000000100001.png")
    (out / "train2017/000000009999.png").write_bytes(b"left over from a larger selection")
    assert build_dataset.build(out, packages, kinds=KINDS)["written"] == 4
    assert contents(out) == before


def test_no_dark_fringe_on_white(packages, tmp_path):
    build_dataset.build(tmp_path / "out", packages, kinds=KINDS)
    for path in (tmp_path / "out/train2017").glob("00000000000?.png"):
        with Image.open(path) as picture:
            # Yellow and white both have red 255 and green >= 220: anything darker came from the transparent black.
            red, green, _ = (low for low, _ in picture.getextrema())
            assert red >= 253 and green >= 215, path.name


def test_captions_hold_the_plain_word_and_every_style_may_go_unnamed(packages, tmp_path):
    build_dataset.build(tmp_path / "out", packages, kinds=KINDS)
    notes = json.loads((tmp_path / "out/annotations/captions_train2017.json").read_text())
    by_image: dict[int, list[str]] = {}
    for row in notes["annotations"]:
        by_image.setdefault(row["image_id"], []).append(row["caption"])
    for code, phrase in {"1F436": "a dog", "1F347": "grapes", "2764": "a heart"}.items():
        for image in (image for image in notes["images"] if image.get("emoji") == code):
            lines = by_image[image["id"]]
            assert phrase in lines and f"{phrase} in {image['style']}" in lines
            assert 6 <= len(lines) <= 8 and len(set(lines)) == len(lines) and all(line == line.lower() for line in lines)
            assert sum(image["style"] in line for line in lines) == 3
            assert not any(style in line for style in sources.STYLES if style != image["style"] for line in lines)
            assert "animal" not in lines and "an animal" not in lines


def test_a_smaller_data_set_has_its_share_of_scenes_and_every_drawing_once(packages, tmp_path):
    build_dataset.build(tmp_path / "out", packages, kinds={"background": 20, "pair": 10}, share=0.5)
    images = json.loads((tmp_path / "out/annotations/captions_train2017.json").read_text())["images"]
    assert Counter(image["kind"] for image in images) == {"single": 3 * len(sources.SETS), "background": 10, "pair": 5}
    sides = {image["set"]: image["variation"][0] for image in images if image.get("name") == "dog face"}
    assert [*sides.values()] in (["0", "1"] * 3, ["1", "0"] * 3), "as its scenes show it"


def test_half_of_a_data_set_shows_one_thing_in_the_sets_that_were_chosen(packages, tmp_path):
    sets = sources.SETS[:3]
    build_dataset.build(tmp_path / "out", packages, kinds={"background": 50, "pair": 30}, share=0.5, sets=sets)
    images = json.loads((tmp_path / "out/annotations/captions_train2017.json").read_text())["images"]
    assert Counter(image["kind"] for image in images) == {"single": 4 * 3 * len(sets), "background": 25, "pair": 15}
    assert {image["set"] for image in images if image["kind"] == "single"} == {drawings.name for drawings in sets}
    assert {image["style"] for image in images} == set(sources.STYLES)


def test_every_set_has_a_licence_and_is_attributed():
    assert len({drawings.name for drawings in sources.SETS}) == len(sources.SETS)
    known = {licence["id"]: licence["name"] for licence in licences.LICENCES}
    assert set(known.values()) == {"Apache License 2.0", "Creative Commons Attribution 4.0", "MIT License"}
    for drawings in sources.SETS:
        package = next(name for name in sources.PACKAGES if name.endswith(f"/{drawings.name}") or drawings.folder.startswith(name))
        assert drawings.licence in known and drawings.style in sources.STYLES and package in licences.ATTRIBUTION


def test_svg_drawings_belong_to_the_emoji_that_they_are_called_by():
    icons = {
        "width": 32,
        "height": 32,
        "icons": {"dog-face": {"body": "<g/>"}, "dog": {"body": "<a/>", "width": 64}},
        "aliases": {"hound": {"parent": "dog"}, "god": {"parent": "dog", "hFlip": True}},
    }
    names = {"1F436": ["dog face", "DOG FACE"], "1F415": ["hound"], "1F408": ["god"], "1F431": ["cat"]}
    assert vector_sets.named_alike(icons, names) == {"1F436": "dog-face", "1F415": "hound"}
    assert 'viewBox="0 0 64 32"><a/></svg>' in vector_sets.svg_of(icons, "hound")


def test_a_name_that_means_another_thing_in_an_older_set_gets_no_drawing(packages):
    assert "1F436" in vector_sets.emoji_names(packages, ()) and "1F436" not in vector_sets.emoji_names(packages, {"dog face"})
    names = {drawings.name for drawings in sources.SETS}
    assert all(name in names and {"cricket", "water pistol"} <= others for name, others in vector_sets.OTHERWISE.items())
