"""The emoji data set, built from a made-up node_modules of a few pictures."""

import json
import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

SCRIPTS = Path(__file__).parents[2] / "scripts" / "bundle"
sys.path.insert(0, str(SCRIPTS))

import build_dataset  # noqa: E402
import captions  # noqa: E402
import selection  # noqa: E402
import sources  # noqa: E402

KINDS = {"background": 6, "split": 3, "placed": 4, "count": 4}
ROWS = [
    ("1F436", "DOG FACE", "Animals & Nature", "animal-mammal"),
    ("1F347", "GRAPES", "Food & Drink", "food-fruit"),
    ("2764-FE0F", "RED HEART", "Smileys & Emotion", "heart"),
    ("1F1EB-1F1F7", "FRANCE FLAG", "Flags", "country-flag"),
    ("1F44B-1F3FD", "WAVING HAND: MEDIUM SKIN TONE", "People & Body", "hand-fingers-open"),
    ("1F468-200D-1F373", "MAN COOK", "People & Body", "person-role"),
]
CLDR = {"🐶": ("dog face", ["animal", "dog", "pet", "puppy"]), "🍇": ("grapes", ["fruit", "grape"]), "❤": ("red heart", ["love"])}


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A disc of yellow in each file; fully transparent pixels are black underneath, as in the real packages."""
    root = tmp_path / "node_modules"
    table = [
        {"unified": code, "image": f"{code.lower()}.png", "name": name, "category": category, "subcategory": sub, "sort_order": order}
        for order, (code, name, category, sub) in enumerate(ROWS)
    ]
    write_json(root / "emoji-datasource-google/emoji.json", table)
    write_json(root / "emojilib/dist/emoji-en-US.json", {"🐶": ["dog_face", "animal", "puppy", "woof"]})
    rows = {key: {"default": words, "tts": [name]} for key, (name, words) in CLDR.items()}
    write_json(root / "cldr-annotations-full/annotations/en/annotations.json", {"annotations": {"annotations": rows}})
    for style in sources.STYLES:
        folder = root / style.folder
        folder.mkdir(parents=True)
        side = 256 if style.suffix == ".webp" else 64
        picture = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        picture.paste((255, 220, 0, 255), (side // 4, side // 4, side * 3 // 4 + 1, side * 3 // 4 + 1))
        for row in table:
            picture.save(folder / row["image"].replace(".png", style.suffix), lossless=True, exact=True)
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_layout_is_coco_2017(packages, tmp_path):
    out = tmp_path / "out"
    counts = build_dataset.build(out, packages, kinds=KINDS)
    notes = json.loads((out / "annotations/captions_train2017.json").read_text())
    assert counts["concepts"] == 3 and counts["pictures"] == counts["written"] == 9 + 17
    singles = [image for image in notes["images"] if image["kind"] == "single"]
    assert list(dict.fromkeys(image["emoji"] for image in singles)) == ["1F436", "1F347", "2764"]
    times = Counter(image["style"] for image in singles)
    others = {style: 3 * build_dataset.OTHER_REPEATS for style in ("flat style", "3d style")}
    assert times == {"cartoon style": 3 * build_dataset.REPEATS, **others}
    assert {image["style"] for image in notes["images"]} == {"cartoon style", "flat style", "3d style"}
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
    os.replace(out / "train2017/000000000001.png", out / "train2017/000000000005.png")
    (out / "train2017/000000000099.png").write_bytes(b"left over from a larger selection")
    assert build_dataset.build(out, packages, kinds=KINDS)["written"] == 4
    assert contents(out) == before


def test_no_dark_fringe_on_white(packages, tmp_path):
    build_dataset.build(tmp_path / "out", packages, kinds=KINDS)
    for path in (tmp_path / "out/train2017").glob("00000000000?.png"):
        with Image.open(path) as picture:
            # Yellow and white both have red 255 and green >= 220: anything darker came from the transparent black.
            red, green, _ = (low for low, _ in picture.getextrema())
            assert red >= 253 and green >= 215, path.name


@pytest.mark.parametrize(
    ("code", "variant"),
    [
        ("1F44B-1F3FD", True),
        ("1F468-200D-1F373", True),
        ("1F3C3-200D-2642", True),
        ("1F9D1-200D-1F373", False),
        ("1F43B-200D-2744", False),
        ("1F436", False),
    ],
)
def test_skin_and_gender_variants_are_known(code, variant):
    assert selection.is_variant(code) is variant


@pytest.mark.parametrize(
    ("noun", "phrase"),
    [
        ("dog", "a dog"),
        ("apple", "an apple"),
        ("grapes", "grapes"),
        ("fire", "fire"),
        ("unicorn", "a unicorn"),
        ("x-ray", "an x-ray"),
        ("cactus", "a cactus"),
        ("hourglass", "an hourglass"),
        ("bag of chips", "a bag of chips"),
        ("octopus", "an octopus"),
        ("glass of milk", "a glass of milk"),
        ("umbrella with rain drops", "an umbrella with rain drops"),
    ],
)
def test_articles(noun, phrase):
    assert captions.with_article(noun) == phrase


def test_captions_hold_the_plain_word_and_only_the_default_style_goes_unnamed(packages, tmp_path):
    build_dataset.build(tmp_path / "out", packages, kinds=KINDS)
    notes = json.loads((tmp_path / "out/annotations/captions_train2017.json").read_text())
    by_image: dict[int, list[str]] = {}
    for row in notes["annotations"]:
        by_image.setdefault(row["image_id"], []).append(row["caption"])
    for code, phrase in {"1F436": "a dog", "1F347": "grapes", "2764": "a heart"}.items():
        for image in (image for image in notes["images"] if image.get("emoji") == code):
            lines, is_default = by_image[image["id"]], image["style"] == "cartoon style"
            assert (phrase in lines) == is_default and f"{phrase} in {image['style']}" in lines
            assert 6 <= len(lines) <= 8 and len(set(lines)) == len(lines) and all(line == line.lower() for line in lines)
            assert sum(image["style"] in line for line in lines) == (3 if is_default else len(lines))
            assert "animal" not in lines and "an animal" not in lines


def test_a_phrase_is_left_to_the_emoji_of_that_name_else_to_the_first():
    def emoji(name):
        return sources.Emoji(code=name, image="", name=name, category="", subcategory="animal-mammal", keywords=((), ()))

    said = captions.everyday_words([emoji("dog face"), emoji("dog"), emoji("red apple"), emoji("green apple")])
    assert "a dog" in said["dog"] and "a dog" not in said["dog face"] and "a dog face" in said["dog face"]
    assert "an apple" in said["red apple"] and "an apple" not in said["green apple"] and said["green apple"]
