"""Picture folders with their own captions: `metadata.jsonl` or `.csv` (Hugging Face's imagefolder), or a .txt beside each picture."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ldmcli.data.captioned import CaptionedImages, Collector, captions_in, inside, name_in
from ldmcli.data.endings import ending_of
from ldmcli.data.survey import METADATA, Survey
from ldmcli.data.text_file import csv_rows, read_text, text_lines
from ldmcli.errors import LdmError, NotFound

OTHER_SPLITS = {"val", "valid", "validation", "dev", "test"}
"""Folders of pictures that nobody trains on, unless they are all there is."""


def find_metadata(root: Path, split: str) -> Path | None:
    """The metadata file of the folder itself, or of a folder that is called like the split."""
    return next((path for folder in (root, root / split) for name in METADATA if (path := folder / name).is_file()), None)


def metadata_of(root: Path, split: str, files: Sequence[Path]) -> list[Path]:
    """Of the metadata files under the folder, those that belong to the split."""
    parts = {file: file.relative_to(root).parts[0] for file in files}
    own = [file for file in files if parts[file] == split] or [file for file in files if parts[file] not in OTHER_SPLITS - {split}]
    return own or list(files)


def load_metadata(file: Path, pictures: Path, *, limit: int | None = None, allow_missing: bool = False) -> CaptionedImages:
    """Rows of file_name (or image, filename, path, file) and text (or caption, captions, prompt: a text or a list), in the file's order.

    Rows of the same picture are one picture with several captions, so that a split by picture cannot part them. A line that is no
    JSON object with a file_name is counted. Raises LdmError, NotFound.
    """
    found = _rows_of([(file, pictures)], pictures, limit)
    return found.result(file, file.name, pictures, allow_missing=allow_missing)


def load_metadata_below(root: Path, files: Sequence[Path], *, limit: int | None = None, allow_missing: bool = False) -> CaptionedImages:
    """As load_metadata, for files in folders below; their names are relative to where they lie."""
    found = _rows_of([(file, file.parent) for file in files], root, limit)
    kinds = " and ".join(sorted({file.name for file in files}))
    return found.result(root, f"{kinds} in {len(files)} folders" if len(files) > 1 else kinds, root, allow_missing=allow_missing)


def _rows_of(files: Sequence[tuple[Path, Path]], root: Path, limit: int | None) -> Collector:
    """files: (metadata, the folder that its names begin in); root: the folder that pictures are called by."""
    found, texts = Collector(), dict[Path, list[object]]()
    for file, folder in files:
        where = "" if len(files) == 1 else f"{file.relative_to(root)}, "
        for number, row in _rows(file):
            name = name_in(row) if row is not None else None
            if row is None or name is None:
                found.skip(f"{where}line {number}", file, "line that is no row with a file_name")
                continue
            texts.setdefault(inside(folder, name, file), []).extend(captions_in(row))
    for path in list(texts)[:limit]:
        found.add(path.relative_to(root).as_posix(), path, texts[path])
    return found


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(line number from 1, row or None)."""
    text = read_text(file)
    if ending_of(file.name) == ".csv":
        yield from csv_rows(text, str(file))
        return
    for number, line in enumerate(text_lines(text), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            yield number, row if isinstance(row, dict) else None


def load_sidecars(root: Path, seen: Survey, *, limit: int | None = None, allow_missing: bool = False) -> CaptionedImages:
    """Pictures with a .txt of the same name, one caption a line.

    Raises LdmError when none has one, and for a .txt in another encoding, unless allow_missing, which leaves its picture out.
    """
    found, strange = Collector(), list[LdmError]()
    for path in seen.pictures[:limit]:
        name = path.relative_to(root).as_posix()
        beside = path.with_suffix(".txt")
        if beside.is_fifo():  # it would be waited for
            found.skip(name, path, "picture whose .txt is not readable text", "a FIFO")
            continue
        try:
            lines = text_lines(read_text(beside))
        except NotFound:
            lines = []
        except LdmError as error:
            if not isinstance(error.__cause__, OSError):  # one that cannot be read is its own affair, an encoding that of them all
                strange.append(error)
            found.skip(name, path, "picture whose .txt is not readable text", error.message)
            continue
        found.add(name, path, [line for line in lines if line.strip()])
    if strange and not allow_missing:
        more = f" So are {len(strange) - 1} more .txt files." if len(strange) > 1 else ""
        raise LdmError(f"{strange[0].message}{more}", hint=f"{strange[0].hint} Or leave such pictures out with --allow-missing.")
    for path in seen.closed:
        found.skip(path.relative_to(root).as_posix(), path, f"{ending_of(path.name)} beside captions, which Pillow does not open")
    return found.result(root, "pictures with .txt captions", root, allow_missing=True)
