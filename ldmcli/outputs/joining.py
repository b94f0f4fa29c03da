"""Folders that hold parts of one `generate` command, read together: what is there, what is missing, what is there twice."""

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from ldmcli.errors import LdmError, NotFound
from ldmcli.outputs.manifest import MOST_NUMBERS, Manifest, checksum, planned_number
from ldmcli.runtime.files import temporary_name

Started = tuple[str, int, int, int]
"""A command: its digest, its seed, its first number, how many pictures."""


@dataclass
class Joined:
    """starts: the commands, newest row of each; pictures: (folder, row) by planned number; failed: rows by number, where no folder has
    the picture; twice: (file, the file that it equals); missing: numbers that a command promised and nobody has."""

    starts: dict[Started, dict[str, Any]] = field(default_factory=dict)
    pictures: dict[int, tuple[Path, dict[str, Any]]] = field(default_factory=dict)
    failed: dict[int, dict[str, Any]] = field(default_factory=dict)
    twice: dict[Path, Path] = field(default_factory=dict)

    @property
    def missing(self) -> list[int]:
        """Numbers that were promised, neither drawn nor noted as failed."""
        promised = {number for _, _, first, count in self.starts for number in range(first, first + count)}
        return sorted(promised - self.pictures.keys() - self.failed.keys())


def join(folders: Sequence[Path]) -> Joined:
    """Read the manifests. A file that is not what its row says counts as missing.

    Raises NotFound for a folder without a manifest, LdmError where two folders disagree about a picture or about numbers.
    """
    joined = Joined()
    for folder in dict.fromkeys(folders):
        manifest = Manifest(folder)
        if not manifest.path.is_file():
            raise NotFound(f"{folder} has no manifest.jsonl.", hint="Name folders that ldm generate has written.")
        for row in manifest.rows:
            _note_start(joined, row, folder)
        for row in manifest.pictures.values():
            _note_picture(joined, row, folder)
        for row in manifest.rows:
            if row.get("status") == "failed" and isinstance(row.get("number"), int):
                joined.failed[row["number"]] = row
    joined.failed = {number: row for number, row in joined.failed.items() if number not in joined.pictures}
    return joined


def parts_of_one(folders: Sequence[Path]) -> bool:
    """Whether at least two of them hold pictures of the same command."""
    seen: set[Started] = set()
    for folder in dict.fromkeys(folders):
        own = {started for row in Manifest(folder).rows if (started := _started(row))}
        if own & seen:
            return True
        seen |= own
    return False


def ranges(numbers: Iterable[int]) -> str:
    """3-5, 9, 12-40: the first ten stretches."""
    ordered = sorted(numbers)
    ends = [place for place, (one, other) in enumerate(pairwise(ordered), 1) if other != one + 1]
    parts = [ordered[first:last] for first, last in pairwise([0, *ends, len(ordered)])]
    words = [str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts if part]
    return ", ".join(words[:10]) + (f" and {len(words) - 10} more stretches" if len(words) > 10 else "")


def copy_new(source: Path, target: Path) -> None:
    """A file, or a folder of --progressive frames, under a new name: whole or not at all. Raises LdmError, also where the name is taken."""
    temporary = target.with_name(temporary_name())
    try:
        if source.is_dir():
            shutil.copytree(source, temporary)
            os.rename(temporary, target)
        else:
            shutil.copyfile(source, temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            os.link(temporary, target)
    except OSError as error:
        raise LdmError(f"cannot copy {source} to {target}: {error.strerror}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True) if temporary.is_dir() else temporary.unlink(missing_ok=True)


def _started(row: dict[str, Any]) -> Started | None:
    """The command that a row of a manifest begins."""
    values = row.get("command"), row.get("seed"), row.get("first"), row.get("pictures")
    whole = row.get("event") == "start" and isinstance(values[0], str) and all(isinstance(value, int) for value in values[1:])
    if not whole or not 0 <= values[2] <= MOST_NUMBERS or not 0 <= values[3] <= 10**8:  # type: ignore[operator]
        return None
    return values  # type: ignore[return-value]


def _note_start(joined: Joined, row: dict[str, Any], folder: Path) -> None:
    started = _started(row)
    if started is None:
        return
    command, seed, first, count = started
    for other in joined.starts:
        if other[:2] == (command, seed) and other[2] != first:
            raise LdmError(
                f"{folder} numbers from {first} what another folder numbers from {other[2]}.", hint="Draw each part into a new folder."
            )
        if other != started and other[2] < first + count and first < other[2] + other[3]:
            raise LdmError(f"{folder} holds pictures of another command under the same numbers.", hint="Merge each command by itself.")
    joined.starts[started] = row


def _note_picture(joined: Joined, row: dict[str, Any], folder: Path) -> None:
    path, number = folder / row["path"], planned_number(row)
    try:
        if not re.fullmatch("[0-9a-f]{64}", str(row["sha256"])) or path.is_symlink() or checksum(path) != row["sha256"]:
            return
    except OSError:
        return
    if number not in joined.pictures:
        joined.pictures[number] = folder, row
        return
    there, known = joined.pictures[number]
    if known["sha256"] != row["sha256"]:
        raise LdmError(
            f"picture {number} is there twice and not the same: {there / known['path']} and {path}.",
            hint="Other versions, threads or processors draw other pixels; delete one of the two.",
        )
    if path != there / known["path"]:
        joined.twice[path] = there / known["path"]
