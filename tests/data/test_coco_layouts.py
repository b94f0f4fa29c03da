"""MS-COCO in every layout that people keep it in (zip files of 2014 and 2017, doubled folders, YOLO's, flat copies)."""

import json
from pathlib import Path

import pytest
from PIL import Image

from ldmcli.data.coco import find_coco, load_coco
from ldmcli.data.layouts import load_captioned
from ldmcli.errors import NotFound, UsageError


def fill(root: Path, captions: str, pictures: str, names: list[str]) -> tuple[Path, Path]:
    """A captions file with two captions a picture, and the pictures."""
    file, folder = root / captions, root / pictures
    file.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (8, 8), "red").save(folder / name)
    images = [{"id": number, "file_name": name} for number, name in enumerate(names, start=9)]
    captions_of = [
        {"id": 10 * i["id"] + k, "image_id": i["id"], "caption": f"{word} {i['id']}"} for i in images for k, word in enumerate(("a", "b"))
    ]
    file.write_text(json.dumps({"images": images, "annotations": captions_of, "info": {}, "licenses": []}))
    return file, folder


OF_2017, OF_2014 = ["000000000009.jpg", "000000000010.jpg"], ["COCO_train2014_000000000009.jpg"]
LAYOUTS = {
    "the zips of 2017": ("annotations/captions_train2017.json", "train2017", OF_2017),
    "the zips of 2014": ("annotations/captions_train2014.json", "train2014", OF_2014),
    "pictures unzipped twice": ("annotations/captions_train2017.json", "train2017/train2017", OF_2017),
    "annotations unzipped into their own folder": ("annotations_trainval2017/annotations/captions_train2017.json", "train2017", OF_2017),
    "both of 2014": ("annotations_trainval2014/annotations/captions_train2014.json", "train2014/train2014", OF_2014),
    "captions in the root": ("captions_train2017.json", "train2017", OF_2017),
    "images/": ("annotations/captions_train2017.json", "images/train2017", OF_2017),
    "images/ without a folder per split": ("annotations/captions_train2017.json", "images", OF_2017),
    "a resized flat copy": ("annotations/captions_train2014.json", "resized2014", OF_2014),
    "all in one folder": ("captions_train2014.json", ".", OF_2014),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_is_found_by_itself(layout, tmp_path, capfd):
    file, folder = fill(tmp_path, *LAYOUTS[layout])
    data = load_captioned(tmp_path)
    names = LAYOUTS[layout][2]
    assert [image.path for image in data.images] == [folder / name for name in names]
    assert [image.id for image in data.images] == [str(number) for number in range(9, 9 + len(names))]
    assert data.images[0].captions == ("a 9", "b 9")
    assert (data.source, data.problems, len(data)) == (str(file), (), len(names))
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("year", ["2014", "2017"])
def test_the_split_chooses_the_files(year, tmp_path):
    for split, names in (("train", ["1.jpg"]), ("val", ["2.jpg"])):
        fill(tmp_path, f"annotations/captions_{split}{year}.json", f"{split}{year}", names)
    assert [image.path.name for image in load_captioned(tmp_path).images] == ["1.jpg"]
    assert [image.path.name for image in load_captioned(tmp_path, split="val").images] == ["2.jpg"]


def test_2017_is_taken_where_both_years_are_there(tmp_path):
    fill(tmp_path, *LAYOUTS["the zips of 2014"])
    fill(tmp_path, *LAYOUTS["the zips of 2017"])
    assert find_coco(tmp_path, "train") == (tmp_path / "annotations" / "captions_train2017.json", tmp_path / "train2017")


def test_images_and_captions_name_any_other_layout(tmp_path):
    file, folder = fill(tmp_path, "elsewhere/my captions.json", "my pictures", OF_2017)
    data = load_captioned(tmp_path / "not there", images=folder, captions=file)
    assert [image.path for image in data.images] == [folder / name for name in OF_2017]


def test_one_of_the_two_alone_is_a_usage_error(tmp_path):
    for options in ({"images": tmp_path}, {"captions": tmp_path / "x.json"}):
        with pytest.raises(UsageError, match="--images and --captions go together"):
            load_captioned(tmp_path, **options)


def test_what_was_tried_is_said(tmp_path):
    fill(tmp_path, "annotations/captions_val2017.json", "val2017", OF_2017)
    with pytest.raises(NotFound) as caught:
        load_captioned(tmp_path)
    assert caught.value.exit_code == 6
    assert "captions_train{2017,2014}.json" in caught.value.message
    assert "--images DIR --captions FILE" in caught.value.hint
    with pytest.raises(NotFound, match="no such folder"):
        load_captioned(tmp_path / "nowhere")
    with pytest.raises(NotFound, match="no such file"):
        load_coco(tmp_path / "nowhere.json", tmp_path)


def test_pictures_come_in_the_order_of_their_ids_and_limit_takes_the_first(tmp_path):
    file, folder = fill(tmp_path, *LAYOUTS["the zips of 2017"])
    body = json.loads(file.read_text())
    body["images"].reverse()
    body["annotations"].reverse()
    file.write_text(json.dumps(body))
    assert [image.id for image in load_captioned(tmp_path).images] == ["9", "10"]
    assert [image.id for image in load_captioned(tmp_path, limit=1).images] == ["9"]


def test_texts_can_be_ids_too(tmp_path):
    file, _ = fill(tmp_path, *LAYOUTS["the zips of 2017"])
    body = json.loads(file.read_text())
    for row in body["images"]:
        row["id"] = f"img-{row['id']:03d}"
    for row in body["annotations"]:
        row["image_id"] = f"img-{row['image_id']:03d}"
    file.write_text(json.dumps(body))
    assert [image.id for image in load_captioned(tmp_path).images] == ["img-009", "img-010"]
