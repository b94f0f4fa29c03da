"""manifest.jsonl of an output folder: what was made from what, written as the job goes, and read again by --resume."""

import hashlib
import json
import os
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

from ldmcli.errors import LdmError
from ldmcli.readers.json_text import parse_json
from ldmcli.records.pictures import ImageRecord

RECORD_KEYS = frozenset(field.name for field in fields(ImageRecord))


class Manifest:
    """Append-only JSON lines: one when a command starts, one for each picture, each flushed to disk as it is written.

    A line that a kill cut short is skipped when reading; nothing is ever rewritten. Paths in it are names in its own folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "manifest.jsonl"

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """What earlier runs have written."""
        return _read(self.path)

    @cached_property
    def pictures(self) -> dict[tuple[str, int], dict[str, Any]]:
        """The newest row of every finished picture, by identity and number."""
        return {(row["id"], row["number"]): row for row in self.rows if _is_picture(row)}

    @property
    def next_number(self) -> int:
        """One more than any picture here has had."""
        return max((row["number"] for row in self.rows if isinstance(row.get("number"), int)), default=-1) + 1

    def started(self, command: str, seed: int | None) -> dict[str, Any] | None:
        """The newest start of the same command, with the same seed if one is asked for: its `first` number and its `seed`."""
        for row in reversed(self.rows):
            if row.get("event") == "start" and row.get("command") == command and seed in (None, row.get("seed")):
                return row if isinstance(row.get("first"), int) and isinstance(row.get("seed"), int) else None
        return None

    def start(self, command: str, *, first: int, seed: int, pictures: int) -> None:
        """Note that a command of this digest begins, numbering its files from `first`."""
        self.append({"event": "start", "command": command, "first": first, "seed": seed, "pictures": pictures})

    def finished(self, row: dict[str, Any]) -> ImageRecord | None:
        """The record of a picture's row, if the file is still the one that was written."""
        path = self.folder / row["path"]
        try:
            unchanged = path.is_file() and checksum(path) == row["sha256"]
        except OSError:
            unchanged = False
        if not unchanged:
            return None
        progress = str(self.folder / row["progress"]) if row["progress"] else None
        return ImageRecord(**{**{key: row[key] for key in RECORD_KEYS}, "path": str(path), "progress": progress})

    def add(self, record: ImageRecord, **facts: Any) -> None:
        """A finished picture."""
        own = {key: value for key, value in vars(record).items() if key not in ("path", "progress")}
        names = {key: path and Path(path).name for key, path in (("path", record.path), ("progress", record.progress))}
        self.append({"status": "ok", **facts, "sha256": checksum(Path(record.path)), **names, **own})

    def append(self, row: dict[str, Any]) -> None:
        """One line. Raises LdmError where it cannot be written."""
        try:
            cut_short = self._cut_short()
            with self.path.open("a", encoding="utf-8", newline="\n") as file:
                file.write("\n" * cut_short + json.dumps(row, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise LdmError(f"cannot write {self.path}: {error.strerror}.", hint="Is the disk full?") from error

    def _cut_short(self) -> bool:
        """The last line has no end, because its writer was killed."""
        if not self.path.is_file() or not self.path.stat().st_size:
            return False
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() != b"\n"


def checksum(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity(facts: dict[str, Any]) -> str:
    """Names a picture by everything that decides it. 16 hex digits."""
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=8).hexdigest()


def _read(path: Path) -> list[dict[str, Any]]:
    rows = []
    try:
        lines = path.read_bytes().split(b"\n")  # not splitlines(): a prompt may hold U+2028, and a cut may fall inside a character
    except FileNotFoundError:
        return []
    except OSError as error:
        raise LdmError(f"cannot read {path}: {error.strerror}.") from error
    for line in lines:
        try:
            row = parse_json(line, str(path))
        except LdmError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def _is_picture(row: dict[str, Any]) -> bool:
    """Ours and whole; a path that leads out of the folder is not ours."""
    if row.get("status") != "ok" or not row.keys() >= RECORD_KEYS | {"id", "number", "sha256"}:
        return False
    names = [row["path"], *([row["progress"]] if row["progress"] else [])]
    return isinstance(row["id"], str) and isinstance(row["number"], int) and all(isinstance(n, str) and n == Path(n).name for n in names)
