"""One item that cannot be used is one named failure, and all others are done: whatever the item is, in every command that takes many."""

import json
import os

import pytest
from tiny_clip import draw_pictures

NESTED = "[" * 100_000


@pytest.fixture
def folder(tmp_path):
    """Six pictures 0.png to 5.png."""
    found = tmp_path / "pictures"
    found.mkdir()
    for number, picture in enumerate(draw_pictures(6)):
        picture.save(found / f"{number}.png")
    return found


def rows(name, caption, *bad):
    """Five good lines, and these."""
    return "\n".join([json.dumps({name: f"{number}.png", caption: f"a dog {number}"}) for number in range(5)] + [*bad])


def picture_without_utf8(folder):
    name = os.fsencode(folder) + b"/bad\xff.png"
    os.link(folder / "5.png", name)
    return name


CAPTION_ROWS = {
    "a surrogate": '{"image": "5.png", "caption": "\\ud800 dog"}',
    "a name that is a number": '{"file_name": 5, "caption": "x"}',
    "nested deep": NESTED,
    "a caption nested deep": '{"image": "5.png", "caption": ' + NESTED + "}",
    "a caption that is a number": '{"image": "5.png", "caption": [3]}',
    "a number": "3",
    "half a line": '{"image": "5.p',
}


@pytest.mark.parametrize("what", CAPTION_ROWS)
def test_a_row_of_captions(what, ldm, clip, folder, tmp_path):
    (tmp_path / "captions.jsonl").write_text(rows("image", "caption", CAPTION_ROWS[what]))
    argv = ("clipscore", str(folder), "--captions", f"{tmp_path}/captions.jsonl", "--clip-model", str(clip), "--device", "cpu", "--json")
    code, out, err = ldm(*argv)
    assert code == 3 and json.loads(out)["n"] == 5, err
    assert "error: 1 caption could not be used: " in err and "captions.jsonl, line 6: " in err and "Traceback" not in err


def test_an_annotation_of_a_coco_file(ldm, clip, folder, tmp_path):
    images = [*({"id": n, "file_name": f"{n}.png"} for n in range(5)), {"id": 5, "file_name": 5}, {"file_name": "x"}, 3]
    notes = [*({"image_id": n, "caption": f"a dog {n}"} for n in range(6)), {"image_id": [], "caption": "x"}, 3, {"image_id": 0}]
    (tmp_path / "captions.json").write_text(json.dumps({"images": images, "annotations": notes}))
    argv = ("clipscore", str(folder), "--captions", f"{tmp_path}/captions.json", "--clip-model", str(clip), "--device", "cpu", "--json")
    code, out, err = ldm(*argv)
    assert code == 3 and json.loads(out)["n"] == 5, err
    assert "error: 4 captions could not be used: " in err and "captions.json, annotation 6: no picture has the id 5" in err


def test_a_folder_that_is_called_like_a_caption_and_a_name_without_utf8(ldm, clip, folder, tmp_path):
    for number in range(5):
        (folder / f"{number}.txt").write_text(f"a dog {number}")
    (folder / "5.txt").mkdir()
    with open(picture_without_utf8(folder)[:-3] + b"txt", "w") as file:
        file.write("a cat")
    argv = ("clipscore", str(folder), "--captions", str(folder), "--clip-model", str(clip), "--device", "cpu")
    code, out, err = ldm(*argv, "--json", "-o", f"{tmp_path}/scores.csv")
    assert code == 3 and json.loads(out)["n"] == 6 and "5.txt: Is a directory" in err, err
    assert b"bad\\udcff.png" in (tmp_path / "scores.csv").read_bytes()


def test_a_picture_that_is_a_folder_or_a_fifo(ldm, clip, folder, tmp_path):
    for name, make in (("5.png", os.mkdir), ("6.png", os.mkfifo)):
        (folder / name).unlink(missing_ok=True)
        make(folder / name)
    (tmp_path / "captions.jsonl").write_text(rows("image", "caption", *(f'{{"image": "{n}.png", "caption": "x"}}' for n in (5, 6))))
    argv = ("clipscore", str(folder), "--captions", f"{tmp_path}/captions.jsonl", "--clip-model", str(clip), "--device", "cpu", "--json")
    code, out, err = ldm(*argv)
    assert code == 3 and json.loads(out)["n"] == 5 and "2 pictures could not be read: " in err and "not a regular file" in err


TRAINING = ("--size", "32", "--batch-size", "4", "--max-steps", "1", "--channels", "8,16", "--layers", "1", "--device", "cpu", "-q")


def skipped(ldm, data, run, *more):
    """{id: reason} of what a run left out."""
    code, _, err = ldm("train-vae", "--data", str(data), "-o", str(run), *TRAINING, *more)
    assert code == 0 and "Traceback" not in err, err
    return {row["id"]: row["reason"] for row in map(json.loads, (run / "skipped.jsonl").read_text().splitlines())}


def test_rows_of_training_data(ldm, folder, tmp_path):
    bad = (
        '{"file_name": 5, "text": "x"}',
        '{"file_name": "5.png", "text": "\\udc80"}',
        NESTED,
        '{"file_name": "\\ud800.png", "text": "x"}',
        "3",
    )
    (folder / "metadata.jsonl").write_text(rows("file_name", "text", *bad))
    reasons = skipped(ldm, folder, tmp_path / "run")
    assert reasons == {
        "5.png": "picture without a caption",
        **dict.fromkeys(("line 6", "line 8", "line 9", "line 10"), "line that is no row with a file_name"),
    }


def test_pictures_with_captions_beside_them_to_train_on(ldm, folder, tmp_path):
    for number in range(5):
        (folder / f"{number}.txt").write_text(f"a dog {number}")
    (folder / "5.txt").mkdir()
    os.link(folder / "0.png", folder / "7.png")
    os.mkfifo(folder / "7.txt")
    with open(picture_without_utf8(folder)[:-3] + b"txt", "w") as file:
        file.write("a cat")
    (folder / "6.png").mkdir()
    reasons = skipped(ldm, folder, tmp_path / "run")
    assert list(reasons) == ["5.png", "7.png"] and reasons["5.png"].startswith("picture whose .txt is not readable text: ")


LINES = ['{"prompt": "\\ud800"}', '{"prompt": 5}', '{"file_name": 5}', '{"prompt": ' + NESTED + "}", '{"prompt": "x"']


@pytest.mark.parametrize("command", ["generate", "compare-schedulers"])
def test_lines_of_a_prompts_file(command, ldm, model, tmp_path):
    (tmp_path / "prompts.jsonl").write_text("\n".join(["a dog", *LINES, "x" * 100_000]))
    own = (
        ("--steps", "2")
        if command == "generate"
        else ("--schedulers", "ddim", "--steps", "2", "--reference-steps", "3", "--clip-model", "none")
    )
    argv = (command, "-f", f"{tmp_path}/prompts.jsonl", "-m", str(model), "--device", "cpu", "-s", "1", "-o", f"{tmp_path}/out/", "--json")
    code, out, err = ldm(*argv, *own)
    body = json.loads(out)
    assert code == 3 and [failed["line"] for failed in body["failed"]] == [2, 3, 4, 5, 6] and "Traceback" not in err, err
    assert len(body["images"] if command == "generate" else body["rows"][0]["images"]) == 2
