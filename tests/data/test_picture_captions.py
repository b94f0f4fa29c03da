"""Which caption belongs to which picture, in every form that people keep captions in."""

import json
import shutil

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ldmcli.data.picture_captions import find_pairs, read_references
from ldmcli.errors import LdmError, NotFound, UsageError


@pytest.fixture
def folder(tmp_path):
    """a.png, b.png and c.png without any caption."""
    for name in "abc":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    return tmp_path


def named(pairs):
    return [(pair.path.name, pair.caption) for pair in pairs.pairs]


def with_text(path, **texts):
    info = PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    Image.new("RGB", (8, 8)).save(path, pnginfo=info)


WHOLE = [("a.png", "one"), ("b.png", "two"), ("c.png", "three")]
FILES = {
    "by name.json": json.dumps({"a.png": "one", "b.png": ["two"], "c": "three"}),
    "rows.json": json.dumps(
        [{"image": "a.png", "caption": "one"}, {"path": "x/b.png", "prompt": "two"}, {"file": "c.png", "text": "three"}]
    ),
    "coco.json": json.dumps(
        {
            "images": [{"id": n, "file_name": f"{name}.png"} for n, name in enumerate("abc")],
            "annotations": [{"id": n, "image_id": n, "caption": text} for n, text in enumerate(("one", "two", "three"))],
        }
    ),
    "rows.jsonl": "\n".join(
        [
            '{"event": "start"}',
            '{"path": "a.png", "prompt": "one"}',
            "",
            '{"image": "b.png", "caption": "two"}',
            '{"image": "c", "text": "three"}',
        ]
    ),
    "table.csv": "\ufeffimage,caption,more\na.png,one,1\nb.png,two,2\nc.png,three,3\n",
    "tabs.txt": "a.png\tone\nb.png\ttwo\nc.png\tthree\n",
    "tabs.tsv": "a\tone\nb\ttwo\nc\tthree\n",
    "lines.txt": "one\ntwo\n\nthree\n",
}


@pytest.mark.parametrize("name", FILES)
def test_captions_are_read_from(folder, name):
    (folder / name).write_text(FILES[name], encoding="utf-8")
    assert named(find_pairs([folder], captions=folder / name)) == WHOLE


def test_captions_are_read_from_a_folder_of_text_files(folder):
    (folder / "words").mkdir()
    for stem, text in zip("abc", ("one", "two", "three"), strict=True):
        (folder / "words" / f"{stem}.txt").write_text(f"{text}\n")
    assert named(find_pairs([folder], captions=folder / "words")) == WHOLE


def test_a_quoted_caption_may_hold_commas_and_line_ends(folder):
    (folder / "c.csv").write_text('image,caption\na.png,"one, and\nmore"\n')
    assert named(find_pairs([folder], captions=folder / "c.csv")) == [("a.png", "one, and\nmore")]


def test_a_picture_may_have_several_captions_and_a_caption_several_pictures(folder):
    (folder / "c.csv").write_text("image,caption\na.png,one\na.png,two\nb.png,two\n")
    pairs = find_pairs([folder], captions=folder / "c.csv")
    assert named(pairs) == [("a.png", "one"), ("a.png", "two"), ("b.png", "two")]
    assert pairs.left_out == ("1 picture without a caption left out, c.png for one.",)


def test_the_prompt_is_read_from_our_chunk_and_from_that_of_web_uis(folder):
    with_text(folder / "a.png", ldm=json.dumps({"prompt": "one", "model": "bundled"}), parameters="other\nSteps: 3")
    with_text(folder / "b.png", parameters="two\nlines\nNegative prompt: ugly\nSteps: 20")
    assert named(find_pairs([folder])) == [("a.png", "one"), ("b.png", "two\nlines")]


def test_the_model_is_known_only_when_all_pictures_agree(folder):
    for name in "abc":
        with_text(folder / f"{name}.png", ldm=json.dumps({"prompt": name, "model": "bundled"}))
    assert find_pairs([folder]).model == "bundled"
    with_text(folder / "c.png", ldm=json.dumps({"prompt": "c", "model": "mine"}))
    assert find_pairs([folder]).model is None


def test_a_manifest_says_what_the_pictures_do_not(folder):
    rows = [
        {"event": "start"},
        {"path": "a.png", "prompt": "old"},
        {"path": "a.png", "prompt": "one"},
        {"path": "c.png", "prompt": "three"},
    ]
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)) + '\n{"path": "b.png", "pro')
    assert named(find_pairs([folder])) == [("a.png", "one"), ("c.png", "three")]


def test_coco_gives_its_own_pictures_or_captions_for_others_of_the_same_names(folder, tmp_path):
    data = tmp_path / "coco"
    (data / "annotations").mkdir(parents=True)
    shutil.copytree(folder, data / "val2017", ignore=lambda *_: ["coco"])
    images = [{"id": number, "file_name": f"{name}.png"} for number, name in enumerate("abc", start=1)]
    captions = [{"id": 10 * n + k, "image_id": n, "caption": f"{'xy'[k]}{n}"} for n in (1, 2, 3) for k in (0, 1)]
    (data / "annotations" / "captions_val2017.json").write_text(json.dumps({"images": images, "annotations": captions}))
    own = find_pairs([], data=data)
    assert named(own) == [(f"{name}.png", f"{k}{n}") for n, name in enumerate("abc", start=1) for k in "xy"]
    assert {pair.path.parent for pair in own.pairs} == {data / "val2017"}
    assert len(find_pairs([], data=data, limit=2).pairs) == 4
    other = tmp_path / "drawn"
    other.mkdir()
    for name in ("b.jpg", "stranger.png"):
        Image.new("RGB", (8, 8)).save(other / name)
    drawn = find_pairs([other], data=data)
    assert named(drawn) == [("b.jpg", "x2"), ("b.jpg", "y2")] and "stranger.png" in drawn.left_out[0]


BAD = {
    "nothing.json": "{",
    "numbers.json": "[1, 2]",
    "lacking.jsonl": '{"image": "a.png"}\n',
    "columns.csv": "a,b\n1,2\n",
    "two.txt": "one\ntwo\n",
    "half.json": '{"images": [], "annotations": [{"image_id": 3, "caption": "x"}]}',
    "number.json": '{"a.png": 7}',
    "captions.xlsx": "",
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_holds_no_captions_is_told_with_what_would_fit(folder, name):
    (folder / name).write_text(BAD[name])
    with pytest.raises(LdmError, match="cannot be read as captions") as caught:
        find_pairs([folder], captions=folder / name)
    assert "CSV" in caught.value.hint


def test_a_named_picture_without_a_caption_is_an_error_and_not_left_out(folder):
    with pytest.raises(UsageError, match="b.png has no caption"):
        find_pairs([folder / "b.png"])
    with pytest.raises(NotFound, match="none of 3 pictures"):
        find_pairs([folder])


def test_what_is_not_there_is_named(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for inputs, captions in (([folder / "no.png"], None), ([tmp_path / "empty"], None), ([folder], folder / "no.json")):
        with pytest.raises(NotFound):
            find_pairs(inputs, captions=captions)


def test_every_picture_needs_a_reference(folder):
    (folder / "r.json").write_text(json.dumps({"a.png": ["x", "y"], "b": "z"}))
    files = [folder / "a.png", folder / "b.png"]
    assert list(read_references(folder / "r.json", files).values()) == [["x", "y"], ["z"]]
    with pytest.raises(LdmError, match="no reference for 1 of 3"):
        read_references(folder / "r.json", [*files, folder / "c.png"])
