"""Folders that hold parts of one `generate` command, read together: what is there, what is missing, what is there twice."""

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from ldmcli.errors import LdmError, NotFound
from ldmcli.outputs.manifest import MOST_NUMBERS, Manifest, checksum, planned_number
from ldmcli.runtime.files import claim_name, temporary_name

Started = tuple[str, int, int, int]
"""A command: its digest, its seed, its first number, how many pictures."""

Place = tuple[Started | Path, int]
"""Of a picture: its command, and its number there. Where no command was promised the number, its folder."""

MOST_PICTURES = 10**7
"""Of one command. A row that promises more is not ours: what is missing is counted one by one."""


@dataclass
class Joined:
    """starts: the commands, with the row of each; pictures: (folder, row) by place; failed: rows by place, where no folder has the
    picture; twice: file -> the file that it equals; changed: files that are not what their rows say, with the place of these."""

    starts: dict[Started, dict[str, Any]] = field(default_factory=dict)
    pictures: dict[Place, tuple[Path, dict[str, Any]]] = field(default_factory=dict)
    failed: dict[Place, dict[str, Any]] = field(default_factory=dict)
    twice: dict[Path, Path] = field(default_factory=dict)
    changed: dict[Path, Place] = field(default_factory=dict)

    @cached_property
    def missing(self) -> list[int]:
        """Numbers that a command promised, neither drawn nor noted as failed. To be asked when all folders are read."""
        there = self.pictures.keys() | self.failed.keys()
        promised = ((started, number) for started in self.starts for number in range(started[2], started[2] + started[3]))
        return sorted(number for started, number in promised if (started, number) not in there)


def join(folders: Sequence[Path]) -> Joined:
    """Read the manifests. A file that is not what its row says counts as missing.

    Raises NotFound for a folder without a manifest, LdmError where two folders disagree about a picture of the same command.
    """
    joined = Joined()
    for folder in dict.fromkeys(folders):
        manifest = Manifest(folder)
        if not manifest.path.is_file():
            raise NotFound(f"{folder} has no manifest.jsonl.", hint="Name folders that ldm generate has written.")
        own = {started: row for row in manifest.rows if (started := _started(row))}
        joined.starts = own | joined.starts
        newest = {planned_number(row): row for row in manifest.pictures.values()}
        for number, row in newest.items():
            _note_picture(joined, (_owner(own, number, folder), number), folder, row)
        for row in manifest.rows:
            if row.get("status") == "failed" and isinstance(place := row.get("number"), int):
                joined.failed[_owner(own, place, folder), place] = row
    joined.failed = {place: row for place, row in joined.failed.items() if place not in joined.pictures}
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
            shutil.copytree(source, temporary, ignore=_links)
            os.rename(temporary, target)
        else:
            shutil.copyfile(source, temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            if not claim_name(temporary, target):
                raise LdmError(f"{target} appeared meanwhile; nothing was replaced.")
    except OSError as error:
        raise LdmError(f"cannot copy {source} to {target}: {error.strerror}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True) if temporary.is_dir() else temporary.unlink(missing_ok=True)


def _links(folder: str, names: list[str]) -> list[str]:
    """Nothing is read through a link."""
    return [name for name in names if os.path.islink(os.path.join(folder, name))]


def _started(row: dict[str, Any]) -> Started | None:
    """The command that a row of a manifest begins."""
    values = row.get("command"), row.get("seed"), row.get("first"), row.get("pictures")
    whole = row.get("event") == "start" and isinstance(values[0], str) and all(isinstance(value, int) for value in values[1:])
    if not whole or not 0 <= values[2] <= MOST_NUMBERS or not 0 <= values[3] <= MOST_PICTURES:  # type: ignore[operator]
        return None
    return values  # type: ignore[return-value]


def _owner(starts: Iterable[Started], number: int, folder: Path) -> Started | Path:
    """The newest command of a folder that was promised this number; the folder itself, where none was."""
    return next((each for each in reversed(list(starts)) if each[2] <= number < each[2] + each[3]), folder)


def _note_picture(joined: Joined, place: Place, folder: Path, row: dict[str, Any]) -> None:
    path = folder / row["path"]
    try:
        if not re.fullmatch("[0-9a-f]{64}", str(row["sha256"])) or path.is_symlink() or checksum(path) != row["sha256"]:
            joined.changed[path] = place
            return
    except OSError:
        return
    there, known = joined.pictures.setdefault(place, (folder, row))
    if known["sha256"] != row["sha256"]:
        raise LdmError(
            f"picture {place[1]} is there twice and not the same: {there / known['path']} and {path}.",
            hint="Other versions, threads or processors draw other pixels; delete one of the two.",
        )
    if path != there / known["path"]:
        joined.twice[path] = there / known["path"]
