"""Parquet files with a picture and its caption in every row, as `datasets` writes them (Dataset.to_parquet, push_to_hub).

A picture is {bytes, path} or the bytes alone. Only captions are read to make the index; a picture is then a row of a row group, and
the groups that were read last are kept, since their columns are compressed as a whole. pyarrow is imported when such a file is met.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from ldmcli.data.captioned import CaptionedImage, CaptionedImages, Collector, captions_in, inside
from ldmcli.data.shards import Keys
from ldmcli.errors import LdmError, UsageError
from ldmcli.runtime.pictures import MAX_BYTES, BadPicture
from ldmcli.runtime.remote import shown, url_of
from ldmcli.runtime.remote_cache import opened, size_and_time

IMAGE_COLUMNS = ("image", "img", "jpg", "png", "webp")
OTHERS = {"train": ("val", "dev", "test"), "val": ("train", "test")}
"""How the files of other splits begin, where none begins as that of the split does."""
SPLITS = {"train": ("train",), "val": ("val", "dev")}
GROUPS = 4
"""Row groups whose pictures are kept in memory: `datasets` puts 100 rows into one."""

MOST_BYTES = 2**31
"""Of a row group that is read, unpacked."""

_reading = threading.Lock()


def find_parquet(root: Path, split: str) -> list[Path]:
    """The .parquet files that --data names: one, or those of a folder, its data/ or its folder of the split."""
    if root.is_file():
        return [root] if root.suffix == ".parquet" else []
    folders = (root, root / "data", root / split)
    return next((chosen for folder in folders if (chosen := of_split(sorted(folder.glob("*.parquet")), split))), [])


def of_split(files: Sequence[Path], split: str) -> list[Path]:
    """Those that are called like the split, else those that are not called like another one, else all."""
    plain = [file for file in files if not file.name.startswith(".")]
    own = [file for file in plain if file.name.startswith(SPLITS[split])]
    return own or [file for file in plain if not file.name.startswith(OTHERS[split])] or plain


def load_parquet(root: Path, files: Sequence[Path], *, keys: Keys | None = None, limit: int | None = None) -> CaptionedImages:
    """The pictures of the files in their order. keys: the columns. Raises LdmError, UsageError without pyarrow."""
    found, keys = Collector(), keys or Keys()
    for path in files:
        for row in _rows(path, keys, found):
            found.add_image(row)
            if len(found.images) == limit:
                break
        if len(found.images) == limit:
            break
    what = "1 Parquet file" if len(files) == 1 else f"{len(files)} Parquet files"
    return found.result(shown(root), what, root, allow_missing=True)


def read_cell(image: CaptionedImage) -> bytes:
    """The bytes of a picture in a row of a Parquet file. Raises BadPicture, OSError, LdmError."""
    assert image.cell is not None
    group, row = image.cell
    with _reading:  # one that reads a group reads it for all
        values = _group(image.path, image.column, group, size_and_time(image.path))
    body = values[row].as_py()
    body = body.get("bytes") if isinstance(body, dict) else body
    if not isinstance(body, bytes):
        raise BadPicture("an empty cell")
    if len(body) > MAX_BYTES:
        raise BadPicture(f"{len(body)} bytes, more than {MAX_BYTES}")
    return body


@lru_cache(GROUPS)
def _group(path: Path, column: str, group: int, version: object) -> Any:
    """The pictures of a row group. version: of the file, so that a changed one is read anew."""
    with _parquet(path) as file:
        _check_group(path, file, group)
        return file.read_row_group(group, columns=[column]).column(0)


def _check_group(path: Path, file: Any, group: int) -> None:
    """Raise LdmError for a row group that is too large: it is read as a whole."""
    size = file.metadata.row_group(group).total_byte_size
    if size > MOST_BYTES:
        hint = "Write it anew with a smaller row_group_size."
        raise LdmError(f"{shown(path)}: row group {group} has {size} bytes; at most {MOST_BYTES} are read.", hint=hint)


def _rows(path: Path, keys: Keys, found: Collector) -> Iterator[CaptionedImage]:
    """Every row with a picture in it; what its caption is worth is not looked at yet."""
    with _parquet(path) as file:
        schema, number = file.schema_arrow, 0
        column = _image_column(path, schema, keys)
        struct = hasattr(schema.field(column).type, "fields")
        texts = [keys.caption] if keys.caption else [name for name in schema.names if name != column and _may_be_text(schema.field(name))]
        if keys.caption is not None and keys.caption not in schema.names:
            raise UsageError(f"{shown(path)} has no column {keys.caption!r}; it has {', '.join(schema.names)}.")
        for group in range(file.num_row_groups):
            _check_group(path, file, group)
            whole = (
                file.metadata.row_group(group).num_rows if texts and _no_nulls(file, group, f"{column}.bytes" if struct else column) else 0
            )
            pictures = [] if whole else file.read_row_group(group, columns=[column]).column(0).to_pylist()
            rows = file.read_row_group(group, columns=texts).to_pylist() if texts else [{}] * len(pictures)
            for place, row in enumerate(rows):
                name, number = f"{path.stem}/{number}", number + 1
                captions: list[object] = captions_in({"text": row[keys.caption]} if keys.caption else row)
                value = True if whole else pictures[place]
                value = value.get("bytes") or value.get("path") if isinstance(value, dict) else value
                if isinstance(value, str) and url_of(path) is None:  # a picture that lies beside the file
                    yield CaptionedImage(name, inside(path.parent, value, path), tuple(captions))  # type: ignore[arg-type]
                elif value and not isinstance(value, str):
                    yield CaptionedImage(name, path, tuple(captions), cell=(group, place), column=column)  # type: ignore[arg-type]
                else:
                    found.skip(name, path, "row without a picture")


def _image_column(path: Path, schema: Any, keys: Keys) -> str:
    """Raises LdmError where none can hold pictures."""
    names = (keys.image,) if keys.image else IMAGE_COLUMNS
    chosen = next((name for name in names if name in schema.names), None)
    if chosen is None:
        raise LdmError(
            f"{shown(path)} has no column {' or '.join(map(repr, names))}; it has {', '.join(schema.names)}.",
            hint="Name the columns: --image-key image --caption-key text.",
        )
    return chosen


def _may_be_text(field: Any) -> bool:
    """Texts, and lists of them; not bytes and numbers, which a file of tensors is full of."""
    kind = str(field.type)
    return kind in ("string", "large_string", "string_view") or (kind.startswith(("list<", "large_list<")) and "string" in kind)


def _no_nulls(file: Any, group: int, name: str) -> bool:
    """Whether the file says that every row of the group has this."""
    columns = file.metadata.row_group(group)
    for number in range(columns.num_columns):
        column = columns.column(number)
        if column.path_in_schema == name:
            return column.statistics is not None and column.statistics.null_count == 0
    return False


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """Raises UsageError without pyarrow, LdmError for a damaged file."""
    try:
        import pyarrow as arrow
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise UsageError(f"{shown(path)}: Parquet files need the package pyarrow.", hint="Get it with: pip install pyarrow") from error
    try:
        with opened(path) as body, ParquetFile(body) as file:
            yield file
    except (arrow.ArrowException, OSError, ValueError, KeyError) as error:
        if isinstance(error, OSError) and error.strerror:  # of the system; pyarrow's own has none
            raise
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise LdmError(f"{shown(path)} is not a readable Parquet file: {why}") from error
