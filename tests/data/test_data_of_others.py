"""Data as people have them, a row per habit: what is read of it, and what is told of the rest."""

import pytest
from made_folders import CAFE, A, P, coco, drawn, found, laid_out, rows

from ldmcli.data.endings import is_picture
from ldmcli.data.layouts import load_captioned
from ldmcli.data.pictures import read_squares
from ldmcli.errors import LdmError, UsageError

READ = {
    # 16: CSV
    "a line end inside quotes": ({"a.png": P, "metadata.csv": b'file_name,text\na.png,"a cat\nasleep"\n'}, [("a.png", "a cat asleep")]),
    "a line end of Windows inside quotes": ({"a.png": P, "metadata.csv": b'file_name,text\r\na.png,"a\r\ncat"\r\n'}, [("a.png", "a cat")]),
    "U+2028 in a row": ({"a.png": P, "metadata.csv": "file_name,text\na.png,a\u2028cat\n".encode()}, [("a.png", "a cat")]),
    "a comma inside quotes": ({"a.png": P, "metadata.csv": b'file_name,text\na.png,"a cat, ""asleep"""\n'}, [("a.png", 'a cat, "asleep"')]),
    # 17: encodings
    "metadata.csv by Excel": (
        {"a.png": P, "metadata.csv": "file_name,text\r\na.png,un café\r\n".encode("utf-8-sig")},
        [("a.png", "un café")],
    ),
    "metadata.jsonl in UTF-16": (
        {"a.png": P, "metadata.jsonl": rows({**A, "text": "un café"}).decode().encode("utf-16")},
        [("a.png", "un café")],
    ),
    ".txt in UTF-16": ({"a.png": P, "a.txt": CAFE.encode("utf-16")}, [("a.png", "un café")]),
    ".txt in big-endian UTF-16": ({"a.png": P, "a.txt": b"\xfe\xff" + CAFE.encode("utf-16-be")}, [("a.png", "un café")]),
    ".txt with U+2028": ({"a.png": P, "a.txt": "a\u2028cat\ntwo".encode()}, [("a.png", "a cat", "two")]),
    "COCO with a byte order mark": (
        {
            "a.png": P,
            "captions_train2017.json": b"\xef\xbb\xbf"
            + coco({"id": 1, "file_name": "a.png"}, annotations=[{"id": 1, "image_id": 1, "caption": "a cat"}]),
        },
        [("1", "a cat")],
    ),
    # 23: endings
    **{
        f"{ending} beside captions": ({f"a{ending}": drawn(kind=kind), "a.txt": b"a cat"}, [(f"a{ending}", "a cat")])
        for ending, kind in ((".gif", "GIF"), (".jfif", "JPEG"), (".tif", "TIFF"), (".TIFF", "TIFF"), (".avif", "AVIF"), (".ppm", "PPM"))
    },
    # 27: metadata
    "metadata.jsonl in folders": (
        {
            "a/1.png": P,
            "b/1.png": P,
            "b/metadata.csv": b"file_name,text\n1.png,a dog\n",
            "a/metadata.jsonl": rows({**A, "file_name": "1.png"}),
        },
        [("a/1.png", "a cat"), ("b/1.png", "a dog")],
    ),
    "image for file_name": ({"a.png": P, "metadata.jsonl": rows({"image": "a.png", "text": "a cat"})}, [("a.png", "a cat")]),
    "an empty text beside a caption": (
        {"a.png": P, "metadata.jsonl": rows({**A, "text": " ", "caption": "a full one"})},
        [("a.png", "a full one")],
    ),
    "an empty list beside a caption": ({"a.png": P, "metadata.jsonl": rows({**A, "text": [], "prompt": "a cat"})}, [("a.png", "a cat")]),
    "an empty column beside a full one": ({"a.png": P, "metadata.csv": b"file_name,text,caption\na.png,,a cat\n"}, [("a.png", "a cat")]),
    "backslashes": ({"b/a.png": P, "metadata.jsonl": rows({**A, "file_name": "b\\a.png"})}, [("b/a.png", "a cat")]),
    "a name that has a backslash": ({"b\\a.png": P, "metadata.jsonl": rows({**A, "file_name": "b\\a.png"})}, [("b\\a.png", "a cat")]),
    "COCO with its numbers as text": (
        {
            "a.png": P,
            "captions_train2017.json": coco(
                {"id": "000007", "file_name": "a.png"},
                annotations=[{"id": 1, "image_id": 7, "caption": "a cat"}, {"id": 2, "image_id": "7", "caption": "two"}],
            ),
        },
        [("000007", "a cat", "two")],
    ),
    "COCO whose captions have text": (
        {
            "a.png": P,
            "captions_train2017.json": coco(
                {"id": 7, "file_name": "a.png"},
                annotations=[{"id": "a", "image_id": "7", "caption": "a cat"}, {"id": "b", "image_id": 7.0, "caption": "two"}],
            ),
        },
        [("7", "a cat", "two")],
    ),
    "dataset_infos.json": (
        {"a.png": P, "a.txt": b"a cat", "dataset_infos.json": b'{"default": {"features": {"images": {}}}}'},
        [("a.png", "a cat")],
    ),
    "dataset.json of StyleGAN": ({"a.png": P, "a.txt": b"a cat", "dataset.json": b'{"labels": null}'}, [("a.png", "a cat")]),
}


@pytest.mark.parametrize("what", READ)
def test_it_is_read(tmp_path, what):
    files, expected = READ[what]
    data = load_captioned(laid_out(tmp_path, files))
    assert found(data) == expected
    assert all(read_squares(image, 4, "center").shape == (1, 3, 4, 4) for image in data.images)
    assert data.problems == ()


TOLD = {
    # 16: CSV
    "a comma without quotes": (
        {"a.png": P, "metadata.csv": b"file_name,text\na.png,a cat, asleep\n"},
        r"metadata\.csv, line 2: 3 fields for 2",
    ),
    # 17: encodings
    "metadata.csv in Windows-1252": (
        {"a.png": P, "metadata.csv": "file_name,text\na.png,café\n".encode("cp1252")},
        r"metadata\.csv, line 2: not UTF-8",
    ),
    "metadata.jsonl in Latin-1": (
        {"metadata.jsonl": rows(A, {**A, "text": "é"}).decode().encode("latin-1")},
        r"metadata\.jsonl, line 2: not UTF-8",
    ),
    "a Karpathy split in Latin-1": (
        {"dataset_coco.json": '{"images": [{"é": 1}]}'.encode("latin-1")},
        r"dataset_coco\.json, line 1: not UTF-8",
    ),
    "UTF-16 without a mark": ({"a.png": P, "a.txt": CAFE.encode("utf-16-le")}, r"a\.txt, line 1: "),
    # 22: names that leave the folder
    "a name that goes up": ({"metadata.jsonl": rows({**A, "file_name": "b/../../a.png"})}, "points outside"),
    "an absolute name": ({"metadata.jsonl": rows({**A, "file_name": "/a.png"})}, "points outside"),
    "a Windows name that goes up": ({"metadata.jsonl": rows({**A, "file_name": "..\\a.png"})}, "points outside"),
    "an absolute Windows name": ({"metadata.jsonl": rows({**A, "file_name": "D:\\a.png"})}, "points outside"),
    # 23: endings
    "only what Pillow does not open": ({"a.heic": b"?", "a.txt": b"a cat"}, r"1 x \.heic beside captions, which Pillow does not open"),
}


@pytest.mark.parametrize("what", TOLD)
def test_it_is_told(tmp_path, what):
    files, words = TOLD[what]
    with pytest.raises(LdmError, match=words):
        load_captioned(laid_out(tmp_path, files))


LEFT_OUT = {
    "pictures of a kind that Pillow does not open": (
        {"a.png": P, "a.txt": b"a", "b.heic": b"?", "b.txt": b"b", "c.mp4": b"?", "c.txt": b"c", "d.jxl": b"?", "README.txt": b"x"},
        {
            "b.heic": ".heic beside captions, which Pillow does not open",
            "c.mp4": ".mp4 beside captions, which Pillow does not open",
            "d.jxl": ".jxl beside captions, which Pillow does not open",
        },
    ),
    "latents and descriptions beside a picture": ({"a.png": P, "a.txt": b"a", "a.npz": b"?", "a.json": b"{}"}, {}),
}


@pytest.mark.parametrize("what", LEFT_OUT)
def test_it_is_left_out_and_listed(tmp_path, what):
    files, expected = LEFT_OUT[what]
    data = load_captioned(laid_out(tmp_path, files))
    assert len(data) == 1 and {skipped.id: skipped.reason for skipped in data.skipped} == expected
    assert sum(int(problem.split(" x ")[0]) for problem in data.problems) == len(expected)


@pytest.mark.parametrize("to", ["../store/blob", "../store"])
def test_linked_pictures_and_folders_are_followed_out_of_the_data(tmp_path, to):
    """As a snapshot of the hub's cache links to its blobs, and as a dataset farm links to folders."""
    laid_out(tmp_path / "store", {"blob": P, "1.png": P, "1.txt": b"a cat"})
    data = tmp_path / "data"
    data.mkdir()
    if to.endswith("blob"):
        (data / "1.png").symlink_to(to)
        laid_out(data, {"metadata.jsonl": rows({"file_name": "1.png", "text": "a cat"})})
        assert found(load_captioned(data)) == [("1.png", "a cat")]
    else:
        (data / "farm").symlink_to(to)
        (data / "farm2").symlink_to(to)
        (data / "round").symlink_to(".")
        assert found(load_captioned(data)) == [("farm/1.png", "a cat")]
        laid_out(data, {"metadata.jsonl": rows({"file_name": "farm/1.png", "text": "a dog"})})
        assert found(load_captioned(data)) == [("farm/1.png", "a dog")]


def test_the_path_of_the_metadata_is_as_good_as_that_of_its_folder(tmp_path):
    laid_out(tmp_path, {"a.png": P, "metadata.jsonl": rows(A), "a.json": b"{}"})
    assert load_captioned(tmp_path / "metadata.jsonl") == load_captioned(tmp_path)
    with pytest.raises(UsageError, match=r"a\.json is a file; a folder is needed"):
        load_captioned(tmp_path / "a.json")


def test_captions_that_lie_there_too_are_told(tmp_path):
    inner = {"b/1.png": P, "b/metadata.jsonl": rows({"file_name": "1.png", "text": "b"})}
    data = load_captioned(laid_out(tmp_path, {"a.png": P, "metadata.jsonl": rows(A), **inner}))
    assert found(data) == [("a.png", "a cat")]
    assert data.problems == (f"{tmp_path / 'b' / 'metadata.jsonl'}: not read, but metadata.jsonl",)


def test_pictures_of_other_splits_are_not_trained_on(tmp_path):
    both = {f"{part}/{n}/1.png": P for part in ("x", "val") for n in "ab"}
    both |= {f"{part}/{n}/metadata.jsonl": rows({"file_name": "1.png", "text": n}) for part in ("x", "val") for n in "ab"}
    data = load_captioned(laid_out(tmp_path, both))
    assert found(data) == [("x/a/1.png", "a"), ("x/b/1.png", "b")]
    assert data.problems == (f"{tmp_path / 'val/a/metadata.jsonl'} and 1 more: not read, but those of the training pictures",)


@pytest.mark.parametrize("name", ["a.eps", "a.h5", "a.pdf", "a.mpg", "a.txt", "a", ".a.png", "a.heic"])
def test_what_pillow_alone_does_not_draw_is_no_picture(name):
    assert not is_picture(name)
