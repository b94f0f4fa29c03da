"""A file that holds captions: JSON, JSON Lines, COCO, CSV, names and captions with a TAB between, bare lines, or a folder of .txt files."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmcli.data.captioned import encodable
from ldmcli.data.text_file import csv_rows, read_text, text_lines
from ldmcli.errors import LdmError
from ldmcli.prompts.weighting import words

NAME_KEYS = ("image", "path", "file_name", "filename", "file")
CAPTION_KEYS = ("caption", "captions", "prompt", "text")
WHAT_FITS = "JSON, JSON Lines, CSV with the columns image and caption, or text with a TAB between the two."

Row = tuple[str, list[str]]
"""The name of a picture and its captions."""
Entry = tuple[str, Callable[[], Row | None]]
"""Where it stands, and what reads it; raises one of UNUSABLE."""
UNUSABLE = (ValueError, KeyError, TypeError, RecursionError)


@dataclass(frozen=True)
class CaptionFile:
    """rows: what it says by name. lines: of a text without names, one caption for each picture in order; then there are no rows.
    failed: what stands in it and cannot be used, each with its place and the reason."""

    rows: list[Row]
    lines: list[str] | None = None
    failed: tuple[str, ...] = ()


def read_caption_file(path: Path) -> CaptionFile:
    """Raises NotFound, and LdmError for a file that holds no captions."""
    found: list[Row] = []
    failed: list[str] = []
    try:
        if not path.is_dir() and path.suffix.lower() in (".txt", ".tsv"):
            return _text_lines(read_text(path))
        for place, read in _folder(path) if path.is_dir() else _rows(path, read_text(path)):
            try:
                if (row := read()) is not None:
                    found.append(row)
            except UNUSABLE as error:
                failed.append(f"{place}: {error}")
    except UNUSABLE as error:
        raise LdmError(f"{path} cannot be read as captions: {error}", hint=WHAT_FITS) from error
    if failed and not found:
        raise LdmError(f"{path} cannot be read as captions: {failed[0]}", hint=WHAT_FITS)
    return CaptionFile(found, failed=tuple(failed))


def _folder(path: Path) -> Iterable[Entry]:
    return [(str(file.relative_to(path)), lambda file=file: _beside(path, file)) for file in _text_files(path)]


def _beside(folder: Path, file: Path) -> Row:
    """Raises ValueError for what cannot be read, LdmError for another encoding."""
    if file.is_fifo():
        raise ValueError("a FIFO")
    try:
        return str(file.relative_to(folder).with_suffix("")), [read_text(file).strip()]
    except LdmError as error:
        if isinstance(error.__cause__, OSError):
            raise ValueError(error.__cause__.strerror) from error
        raise


def _text_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.txt") if not file.name.startswith("."))


def _text_lines(text: str) -> CaptionFile:
    lines = [line.strip() for line in text_lines(text) if line.strip()]
    if lines and all("\t" in line for line in lines):
        return CaptionFile([(name.strip(), [caption.strip()]) for name, _, caption in (line.partition("\t") for line in lines)])
    return CaptionFile([], lines)


def _rows(path: Path, text: str) -> Iterable[Entry]:
    """Raises ValueError."""
    match path.suffix.lower():
        case ".json":
            body = json.loads(text)
            if isinstance(body, dict) and isinstance(body.get("annotations"), list):
                pictures = [row for row in body["images"] if isinstance(row, dict) and isinstance(row.get("file_name"), str)]
                names = {row["id"]: row["file_name"] for row in pictures if isinstance(row.get("id"), int | str)}
                return [(f"annotation {n}", lambda row=row: _annotated(names, row)) for n, row in enumerate(body["annotations"], 1)]
            if isinstance(body, dict):
                return [(repr(name)[:60], lambda name=name, value=value: (name, _captions(value))) for name, value in body.items()]
            return [(f"entry {n}", lambda row=row: _named(row)) for n, row in enumerate(body, 1)]
        case ".jsonl":
            lines = [(n, line) for n, line in enumerate(text_lines(text), 1) if line.strip()]
            return [(f"line {n}", lambda line=line: _of_line(line)) for n, line in lines]
        case ".csv":
            return [(f"line {n}", lambda row=row: _named(row)) for n, row in csv_rows(text, str(path))]
    raise ValueError(f"a {path.suffix or 'nameless'} file")


def _annotated(names: dict[int | str, str], row: Any) -> Row:
    """An entry of COCO's. names: of the pictures."""
    if row["image_id"] not in names:
        raise ValueError(f"no picture has the id {str(row['image_id'])[:60]}")
    return names[row["image_id"]], _captions(row["caption"])


def _of_line(line: str) -> Row | None:
    """None for what else stands in a manifest."""
    row = json.loads(line)
    return None if isinstance(row, dict) and row.get("event") else _named(row)


def _named(row: Any) -> Row:
    """weighting: in the rows of a manifest; what the prompt says is scored, not how it is weighed."""
    if not isinstance(row, dict):
        raise ValueError(f"an entry is not an object: {str(row)[:60]}")
    name, caption = (next((row[key] for key in keys if row.get(key)), None) for keys in (NAME_KEYS, CAPTION_KEYS))
    if not isinstance(name, str) or caption is None:
        raise ValueError(f"an entry lacks image or caption: {str(row)[:60]}")
    return name, [words(text, str(row.get("weighting"))) for text in _captions(caption)]


def _captions(value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"a caption is not a text: {str(value)[:60]}")
    if not all(map(encodable, texts)):
        raise ValueError("a caption is not valid UTF-8 text")
    return texts
