"""Picture folders with their own captions: `metadata.jsonl` or `.csv` (Hugging Face's imagefolder), or a .txt beside each picture."""

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ldmcli.data.captioned import PICTURES, CaptionedImages, Collector, captions_in, inside
from ldmcli.errors import LdmError, NotFound

METADATA = ("metadata.jsonl", "metadata.csv")


def find_metadata(root: Path, split: str) -> Path | None:
    """The metadata file of the folder itself, or of a folder that is called like the split."""
    return next((path for folder in (root, root / split) for name in METADATA if (path := folder / name).is_file()), None)


def load_metadata(file: Path, pictures: Path, *, limit: int | None = None, allow_missing: bool = False) -> CaptionedImages:
    """Rows of file_name and text (or caption, captions, prompt: a text or a list), in the file's order.

    Rows of the same picture are one picture with several captions, so that a split by picture cannot part them. A line that is no
    JSON object with a file_name is counted. Raises LdmError, NotFound.
    """
    found, texts = Collector(), dict[Path, list[object]]()
    for number, row in _rows(file):
        if row is None or not row.get("file_name"):
            found.skip(f"line {number}", file, "line that is no row with a file_name")
            continue
        texts.setdefault(inside(pictures, os.path.normpath(str(row["file_name"])), file), []).extend(captions_in(row))
    for path in list(texts)[:limit]:
        found.add(path.relative_to(pictures).as_posix(), path, texts[path])
    return found.result(file, file.name, pictures, allow_missing=allow_missing)


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(line number from 1, row or None)."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise NotFound(f"{file}: no such file.") from error
    except (OSError, ValueError) as error:
        raise LdmError(f"{file} cannot be read as text: {error}") from error
    if file.suffix == ".csv":
        try:
            yield from enumerate(csv.DictReader(text.splitlines()), start=2)
        except csv.Error as error:
            raise LdmError(f"{file} cannot be read as CSV: {error}") from error
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            yield number, row if isinstance(row, dict) else None


def find_pictures_with_texts(root: Path) -> list[Path]:
    """All pictures under the folder, by name, if at least one has a .txt beside it; else none. Hidden folders are left alone."""
    pictures: list[Path] = []
    captioned = False
    for folder, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        there = set(names)
        for name in names:
            stem, ending = os.path.splitext(name)
            if ending.lower() in PICTURES and not name.startswith("."):
                pictures.append(Path(folder, name))
                captioned = captioned or f"{stem}.txt" in there
    return sorted(pictures) if captioned else []


def load_sidecars(root: Path, pictures: list[Path], *, limit: int | None = None) -> CaptionedImages:
    """Pictures with a .txt of the same name, one caption a line. Raises LdmError when none has one."""
    found = Collector()
    for path in pictures[:limit]:
        try:
            lines = path.with_suffix(".txt").read_text(encoding="utf-8-sig").splitlines()
        except FileNotFoundError:
            lines = []
        except (OSError, ValueError):
            found.skip(path.relative_to(root).as_posix(), path, "picture whose .txt is not readable text")
            continue
        found.add(path.relative_to(root).as_posix(), path, [line for line in lines if line.strip()])
    return found.result(root, "pictures with .txt captions", root, allow_missing=True)
