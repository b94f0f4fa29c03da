"""A file that holds captions: JSON, JSON Lines, COCO, CSV, names and captions with a TAB between, bare lines, or a folder of .txt files."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmcli.data.text_file import csv_rows, read_text, text_lines
from ldmcli.errors import LdmError
from ldmcli.prompts.weighting import words
from ldmcli.readers.json_text import parse_json

NAME_KEYS = ("image", "path", "file_name", "filename", "file")
CAPTION_KEYS = ("caption", "captions", "prompt", "text")
WHAT_FITS = "JSON, JSON Lines, CSV with the columns image and caption, or text with a TAB between the two."

Row = tuple[str, list[str]]
"""The name of a picture and its captions."""


@dataclass(frozen=True)
class CaptionFile:
    """rows: what it says by name. lines: of a text without names, one caption for each picture in order; then there are no rows."""

    rows: list[Row]
    lines: list[str] | None = None


def read_caption_file(path: Path) -> CaptionFile:
    """Raises NotFound, and LdmError for a file that holds no captions."""
    try:
        if path.is_dir():
            return CaptionFile([(str(file.relative_to(path).with_suffix("")), [read_text(file).strip()]) for file in _text_files(path)])
        text = read_text(path)
        if path.suffix.lower() in (".txt", ".tsv"):
            return _text_lines(text)
        return CaptionFile(list(_rows(path, text)))
    except (ValueError, KeyError, TypeError) as error:
        raise LdmError(f"{path} cannot be read as captions: {error}", hint=WHAT_FITS) from error


def _text_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.txt") if not file.name.startswith("."))


def _text_lines(text: str) -> CaptionFile:
    lines = [line.strip() for line in text_lines(text) if line.strip()]
    if lines and all("\t" in line for line in lines):
        return CaptionFile([(name.strip(), [caption.strip()]) for name, _, caption in (line.partition("\t") for line in lines)])
    return CaptionFile([], lines)


def _rows(path: Path, text: str) -> Iterable[Row]:
    """Raises ValueError."""
    match path.suffix.lower():
        case ".json":
            body = _parsed(text)
            if isinstance(body, dict) and isinstance(body.get("annotations"), list):
                names = {row["id"]: row["file_name"] for row in body["images"]}
                return [(names[row["image_id"]], _captions(row["caption"])) for row in body["annotations"]]
            if isinstance(body, dict):
                return [(name, _captions(value)) for name, value in body.items()]
            return [_named(row) for row in body]
        case ".jsonl":
            rows = [_parsed(line, f"line {n}: ") for n, line in enumerate(text_lines(text), 1) if line.strip()]
            return [_named(row) for row in rows if not (isinstance(row, dict) and row.get("event"))]
        case ".csv":
            return [_named(row) for _, row in csv_rows(text, str(path))]
    raise ValueError(f"a {path.suffix or 'nameless'} file")


def _parsed(text: str, what: str = "") -> Any:
    """Raises ValueError."""
    try:
        return parse_json(text, "it", what=what)
    except LdmError as error:
        raise ValueError(error.message) from error


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
    return texts
