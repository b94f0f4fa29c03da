"""Parquet files as `datasets` writes them: pictures in their cells, captions as columns, several files, damage."""

import sys

import pytest
from made_folders import BLUE, RED, drawn, found

from ldmcli.data.decoders import Decoders
from ldmcli.data.fingerprints import data_fingerprint, timed_fingerprint
from ldmcli.data.layouts import load_captioned
from ldmcli.data.pictures import read_squares
from ldmcli.errors import LdmError, UsageError

arrow = pytest.importorskip("pyarrow", reason="pip install pyarrow")
from pyarrow import parquet  # noqa: E402  # after the skip

IMAGE = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
"""What datasets.Image() is in a file."""


def write(path, columns: dict, types: dict | None = None, rows: int = 2):
    """types: of the columns whose type does not follow from their values. rows: of a row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: arrow.array(values, (types or {}).get(name)) for name, values in columns.items()}
    parquet.write_table(arrow.table(arrays), path, row_group_size=rows)
    return path


def cells(*bodies):
    return [body and {"bytes": body, "path": f"{number}.png"} for number, body in enumerate(bodies)]


def colours(data):
    return [tuple(read_squares(image, 4, "center")[0, :, 0, 0].tolist()) for image in data.images]


LAYOUTS = {
    "struct, text": ({"image": cells(drawn(RED), drawn(BLUE)), "text": ["a", "b"]}, {"image": IMAGE}, None),
    "bytes, caption": ({"image": [drawn(RED), drawn(BLUE)], "caption": ["a", "b"]}, {}, None),
    "large bytes": ({"image": [drawn(RED), drawn(BLUE)], "caption": ["a", "b"]}, {"image": arrow.large_binary()}, None),
    "lists, numbers, and no text": (
        {"label": [0, 1], "img": cells(drawn(RED), drawn(BLUE)), "captions": [["a"], ["b"]], "text": [None, None]},
        {"img": IMAGE, "text": arrow.string()}, None,
    ),
    "named columns": (
        {"image": cells(None, None), "text": ["x", "y"], "pixels": cells(drawn(RED), drawn(BLUE)), "english": ["a", "b"]},
        {"image": IMAGE, "pixels": IMAGE}, ("pixels", "english"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_become_captioned_pictures(tmp_path, layout):
    columns, types, named = LAYOUTS[layout]
    from ldmcli.data.shards import Keys

    data = load_captioned(write(tmp_path / "one.parquet", columns, types), keys=Keys(*named) if named else None)
    assert found(data) == [("one/0", "a"), ("one/1", "b")] and data.layout == "1 Parquet file"
    assert colours(data) == [RED, BLUE]


def test_files_of_a_split_in_any_order_and_by_processes(tmp_path):
    for number, split in enumerate(("train", "train", "validation")):
        texts = [f"{split} {number} {row}" for row in range(5)]
        bodies = cells(*(drawn((50 * row, number, 0)) for row in range(5)))
        write(tmp_path / f"data/{split}-{number:05}-of-00002.parquet", {"image": bodies, "text": texts}, {"image": IMAGE})
    data = load_captioned(tmp_path)
    assert [image.captions[0] for image in data.images] == [f"train {n} {row}" for n in (0, 1) for row in range(5)]
    assert colours(data)[::-1] == [(50 * row, n, 0) for n in (1, 0) for row in reversed(range(5))]
    assert [image.captions[0] for image in load_captioned(tmp_path, split="val").images] == [f"validation 2 {row}" for row in range(5)]
    ranged = load_captioned(tmp_path / "data/train-{00000..00001}-of-00002.parquet", limit=7)
    assert ranged.images == data.images[:7]
    with Decoders(workers=1) as decoders:
        assert [int(square[0, 0, 0, 0]) for square in decoders.read(data.images[:3], 8, "center")] == [0, 50, 100]


def test_what_cannot_be_used_is_said(tmp_path):
    columns = {"image": cells(drawn(RED), None, b"<html>", drawn(BLUE)), "text": ["a", "b", "c", None]}
    data = load_captioned(write(tmp_path / "a.parquet", columns, {"image": IMAGE}))
    assert found(data) == [("a/0", "a"), ("a/2", "c")]  # the last is found out when it is decoded
    assert {(skipped.id, skipped.reason) for skipped in data.skipped} == {
        ("a/1", "row without a picture"), ("a/3", "picture without a caption")
    }  # fmt: skip
    assert "a/2: " in Decoders().read(data.images[1:], 8, "center")[0]


def test_pictures_beside_the_file_are_read_and_stay_inside(tmp_path):
    (tmp_path / "b.png").write_bytes(drawn(BLUE))
    columns = {"image": [{"bytes": None, "path": "b.png"}], "text": ["b"]}
    assert colours(load_captioned(write(tmp_path / "a.parquet", columns, {"image": IMAGE}))) == [BLUE]
    columns = {"image": [{"bytes": None, "path": "../b.png"}], "text": ["b"]}
    with pytest.raises(LdmError, match="points outside"):
        load_captioned(write(tmp_path / "a.parquet", columns, {"image": IMAGE}))


def test_a_changed_file_is_other_data(tmp_path):
    def fingerprints(text, body):
        columns = {"image": cells(drawn(RED), body), "text": ["a", text]}
        data = load_captioned(write(tmp_path / "a.parquet", columns, {"image": IMAGE}))
        return data_fingerprint(data), timed_fingerprint(data), colours(data)

    before, again, other = fingerprints("b", drawn(RED)), fingerprints("b", drawn(RED)), fingerprints("b", drawn(BLUE))
    assert before[0] == again[0] and before[1] != other[1] and other[2] == [RED, BLUE]  # no row of the old file is kept


@pytest.mark.parametrize(("columns", "keys", "said"), [
    ({"pixels": [1, 2]}, None, "has no column 'image'"), ({"image": [b"x", b"y"], "text": ["a", "b"]}, "words", "no column 'words'"),
])  # fmt: skip
def test_columns_that_are_not_there_are_named(tmp_path, columns, keys, said):
    from ldmcli.data.shards import Keys

    with pytest.raises(LdmError, match=said):
        load_captioned(write(tmp_path / "a.parquet", columns), keys=Keys(None, keys) if keys else None)


def test_a_damaged_file_and_a_missing_package(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more PAR1")
    with pytest.raises(LdmError, match="not a readable Parquet file"):
        load_captioned(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="need the package pyarrow") as refused:
        load_captioned(tmp_path)
    assert refused.value.hint == "Get it with: pip install pyarrow"


def test_damage_that_pyarrow_tells_without_words_is_a_sentence(tmp_path, monkeypatch):
    path = write(tmp_path / "one.parquet", {"image": cells(drawn(RED)), "text": ["a"]}, {"image": IMAGE})
    for error in (OSError("Corrupt snappy compressed data."), arrow.ArrowInvalid("")):

        def broken(self, *words, error=error, **more):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(parquet.ParquetFile, "read_row_group", broken)
            with pytest.raises(LdmError, match="is not a readable Parquet file: (Corrupt|ArrowInvalid)"):
                load_captioned(path)


def test_what_is_too_large_is_not_read(tmp_path, monkeypatch):
    from ldmcli.data import parquet as ours

    path = write(tmp_path / "one.parquet", {"image": cells(drawn(RED)), "text": ["a"]}, {"image": IMAGE})
    (image,) = load_captioned(path).images
    with monkeypatch.context() as patch:
        patch.setattr(ours, "MAX_BYTES", 10)
        with pytest.raises(ours.BadPicture, match="more than 10"):
            ours.read_cell(image)
    monkeypatch.setattr(ours, "MOST_BYTES", 10)
    ours._group.cache_clear()
    for read in (lambda: load_captioned(path), lambda: ours.read_cell(image)):
        with pytest.raises(LdmError, match="row group 0 has .* at most 10 are read"):
            read()
