"""manifest.jsonl of an output folder: what was made from what, written as the job goes, and read again by --resume."""

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from ldmcli.errors import LdmError
from ldmcli.readers.json_text import parse_json
from ldmcli.records.pictures import ImageRecord
from ldmcli.runtime.files import write_file

RECORD_KEYS = frozenset(field.name for field in fields(ImageRecord))

NAME = "manifest.jsonl"

MOST_NUMBERS = 10**12
"""Beyond it nothing counts as a number of ours."""


class Manifest:
    """Append-only JSON lines: one when a command starts, one for each picture, each flushed to disk as it is written.

    A line that a kill cut short is skipped when reading; nothing is rewritten but by --merge, as a whole. Paths in it are names in its own
    folder. Any number of processes append to it at once. `number` of a picture is the one in its name; `planned` stands beside it where its
    place in the command is another, because something was in the way.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / NAME

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """What earlier runs have written."""
        return _read(self.path)

    @cached_property
    def pictures(self) -> dict[tuple[str, int], dict[str, Any]]:
        """The newest row of every finished picture, by identity and by the number that was planned for it."""
        return {(row["id"], planned_number(row)): row for row in self.rows if _is_picture(row)}

    def started(self, command: str, seed: int | None) -> dict[str, Any] | None:
        """The newest start of the same command, with the same seed if one is asked for: its `first` number and its `seed`."""
        return _newest_start(self.rows, command, seed)

    def claim(self, command: str, *, seed: int, pictures: int, threads: int, free: Callable[[], int], join: bool = False) -> dict[str, Any]:
        """Note that a command of this digest begins. Returns the row: its `first` number and those after it are given to no other command.

        free: the first number that no file has. join: the same command and seed that is there already is gone on with.
        Raises LdmError.
        """
        with self._open() as file:
            rows = _read(self.path)
            if join and (there := _newest_start(rows, command, seed)):
                return there
            first = max(_next_number(rows), free())
            row = {"event": "start", "command": command, "first": first, "seed": seed, "pictures": pictures, "threads": threads}
            _append(file, row)
            return row

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
        with self._open() as file:
            _append(file, row)

    def rewrite(self, rows: Sequence[dict[str, Any]]) -> None:
        """--merge: these in place of `self.rows`, and after them what another process has added meanwhile. Raises LdmError."""
        known = {json.dumps(row, sort_keys=True) for row in (*self.rows, *rows)}
        with self._open():
            added = [row for row in _read(self.path) if json.dumps(row, sort_keys=True) not in known]
            write_file(self.path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in (*rows, *added)))

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        """For this process alone, where the file system has locks. Raises LdmError for what the system refuses."""
        try:
            while True:
                with open(self.path, "ab+", buffering=0, opener=_not_through_a_link) as file:
                    with suppress(OSError):
                        fcntl.flock(file, fcntl.LOCK_EX)
                    if _has_the_name(file, self.path):  # else it was rewritten while this process waited
                        yield file
                        return
        except OSError as error:
            raise LdmError(f"cannot write {self.path}: {error.strerror}.", hint="Is the disk full?") from error


def check_manifest(folder: Path) -> None:
    """Raise LdmError where something stands in the place of the manifest that nothing may be added to."""
    path = folder / NAME
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        what = "a link to somewhere else" if path.is_symlink() else "no plain file"
        raise LdmError(f"{path} is {what}; nothing is added to it.", hint="Move it, or name another folder.")


def _not_through_a_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _has_the_name(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except FileNotFoundError:
        return False


def checksum(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


INCIDENTAL = frozenset({"instruction_set"})
"""Of a picture's facts, what moves pixels by 1 of 255 at most: a batch goes on with what another processor drew, or nobody knows which."""


def identity(facts: dict[str, Any]) -> str:
    """Names a picture by everything that decides it. 16 hex digits."""
    deciding = {key: value for key, value in facts.items() if key not in INCIDENTAL}
    return hashlib.blake2b(json.dumps(deciding, sort_keys=True).encode(), digest_size=8).hexdigest()


def planned_number(row: dict[str, Any]) -> int:
    """Where a picture belongs in its command: its number, unless that one was taken."""
    number = row.get("planned", row["number"])
    return number if isinstance(number, int) else -1


def _append(file: IO[bytes], row: dict[str, Any]) -> None:
    """One line, on the disk when this returns, or none of it; the last one may have no end, because its writer was killed."""
    cut_short, end = False, file.seek(0, os.SEEK_END)
    if end:
        file.seek(-1, os.SEEK_END)
        cut_short = file.read(1) != b"\n"
    body = memoryview(b"\n" * cut_short + json.dumps(row, ensure_ascii=False).encode(errors="backslashreplace") + b"\n")
    try:
        while body:
            body = body[file.write(body) :]
        os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            file.truncate(end)
        raise


def _newest_start(rows: list[dict[str, Any]], command: str, seed: int | None) -> dict[str, Any] | None:
    for row in reversed(rows):
        if row.get("event") == "start" and row.get("command") == command and seed in (None, row.get("seed")):
            return row if isinstance(row.get("first"), int) and isinstance(row.get("seed"), int) else None
    return None


def _next_number(rows: list[dict[str, Any]]) -> int:
    """One more than any picture here has, or was promised when its command began."""
    taken = [-1]
    for row in rows:
        number, first, pictures = row.get("number"), row.get("first"), row.get("pictures")
        if isinstance(number, int):
            taken.append(number)
        elif row.get("event") == "start" and isinstance(first, int) and isinstance(pictures, int):
            taken.append(first + pictures - 1)
    return max(number for number in taken if number < MOST_NUMBERS) + 1


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
