"""Where pictures go: written whole or not at all, never over something else."""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ldmcli.config.generation import GenerateConfig
from ldmcli.errors import LdmError, UsageError
from ldmcli.outputs.claims import is_sheet
from ldmcli.outputs.manifest import check_manifest
from ldmcli.outputs.naming import Target, find_target, numbers_taken, picture_name, progress_target
from ldmcli.runtime.files import beside, claim_name, flush, write_exclusively
from ldmcli.runtime.room import check_room

LEAST_BYTES, PIXELS_PER_BYTE = 4096, 8
"""What every file takes on a disk; of a picture that nothing happens in."""


@dataclass(frozen=True)
class OutputPlan:
    """A target that can be written, the first number of this command, and the names that its pictures have claimed."""

    target: Target
    first: int
    overwrite: bool
    progressive: str | None
    claimed: frozenset[str] = frozenset()

    @property
    def folder(self) -> Path:
        """Where everything is written."""
        return self.target.folder

    @property
    def file(self) -> Path | None:
        """The one picture that was named, if one was."""
        return self.target.file

    def free_number(self) -> int:
        """The first that no file in the folder has, whoever wrote it; 0 where names hold none."""
        taken = numbers_taken(self.target, os.listdir(self.folder)) if self.target.numbered else []
        return max(taken, default=-1) + 1

    def numbered_from(self, first: int) -> "OutputPlan":
        """The same folder with these numbers: the manifest's, or those that an earlier run of the command had."""
        return dataclasses.replace(self, first=first)

    def claiming(self, values: Iterable[dict[str, Any]]) -> tuple["OutputPlan", list[int]]:
        """For a template without {number}: how many pictures of the same name come before each one, and a plan that knows all names."""
        copies: list[int] = []
        following: dict[str, int] = {}
        claimed: set[str] = set()
        for one in values:
            plain = picture_name(self.target, one)
            copy = following.get(plain, 0)
            while (name := picture_name(self.target, one, copy)) in claimed:
                copy += 1
            claimed.add(name)
            copies.append(copy)
            following[plain] = copy + 1
        return dataclasses.replace(self, claimed=frozenset(claimed)), copies

    def free_or_next(self, number: int, copy: int) -> tuple[int, int]:
        """Where to look when a name turns out to be taken."""
        return (number + 1, copy) if self.target.numbered else (number, copy + 1)

    def path(self, number: int, values: dict[str, Any], copy: int = 0) -> Path:
        """Where picture `number` of the command belongs; values: of the template's fields, without the number."""
        return self.file or self.folder / picture_name(self.target, {**values, "number": self.first + number}, copy)


def plan_outputs(config: GenerateConfig, count: int, *, resumed: bool = False) -> OutputPlan:
    """Make the folder; the first number is claimed when the command begins. Raises UsageError as `find_target`, LdmError where nothing
    can be written. resumed: as by --resume."""
    target = find_target(config, count)
    folder = target.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"-o {config.output}: a file is in the way of the folder {folder}.") from error
    except OSError as error:
        raise LdmError(f"cannot make the folder {folder}: {error.strerror}.") from error
    some_are_there = resumed or config.resume or config.shard is not None  # or belong elsewhere: how many is found out later
    check_room(folder, 0 if some_are_there else count * _least_bytes(config))
    if target.file is None:
        check_manifest(folder)
    return OutputPlan(target, 0, config.overwrite, config.progressive)


def _least_bytes(config: GenerateConfig) -> int:
    """Of a picture on the disk: what the most even one still takes."""
    pixels = (config.width or 0) * (config.height or 0) * config.upscale**2
    return max(LEAST_BYTES, pixels // PIXELS_PER_BYTE)


class Written(NamedTuple):
    """A file, and the number that its name has, or would have."""

    path: Path
    number: int


def write_new(
    body: bytes,
    plan: OutputPlan,
    number: int,
    values: dict[str, Any],
    *,
    copy: int = 0,
    resumed: bool = False,
    replace: str | None = None,
) -> Written:
    """Write one file through a temporary one. In a folder the number, or -2, -3 ... at the end of the name, goes up until it is free.

    resumed: the same bytes under this name are this picture, from a run that ended before it could note so; replace: the name of a
    file that this command made and that has changed since.
    """
    with _temporary(body, plan.folder, f"in {plan.folder}") as temporary:
        path = plan.path(number, values, copy) if replace is None else plan.folder / replace
        if replace is not None or (plan.file is not None and plan.overwrite):
            os.replace(temporary, path)
            return Written(path, plan.first + number)
        planned = path.name
        while (path.name != planned and path.name in plan.claimed) or _taken_beside(path, plan, resumed) or not claim_name(temporary, path):
            if plan.file is not None:
                raise UsageError(f"{path} appeared meanwhile; nothing was overwritten.")
            if resumed and path.is_file() and path.read_bytes() == body:
                break
            number, copy = plan.free_or_next(number, copy)
            path = plan.path(number, values, copy)
        return Written(path, plan.first + number)


def write_beside(body: bytes, path: Path, *, replace: bool) -> Path:
    """Write a file of a command that is no picture of its own, under its name or with -2, -3 ... at its end until one is free.

    replace: a sheet or animation of ours that has the name may go.
    """
    free, copy = path, 1
    with _temporary(body, path.parent, path) as temporary:
        if replace and is_sheet(path):
            os.replace(temporary, path)
            return path
        while not claim_name(temporary, free):
            copy += 1
            free = path.with_stem(f"{path.stem}-{copy}")
        return free


@contextmanager
def _temporary(body: bytes, folder: Path, where: object) -> Iterator[Path]:
    """A file with these bytes, on the disk, to be given its name in the block; what is left of it goes.

    Raises LdmError for what the system refuses. where: what could not be written.
    """
    try:
        with beside(folder / "picture") as path:
            write_exclusively(path, body)
            flush(path)
            yield path
    except OSError as error:
        raise LdmError(f"cannot write {where}: {error.strerror or error}.", hint="Is the disk full?") from error


def _taken_beside(path: Path, plan: OutputPlan, resumed: bool) -> bool:
    """What --progressive would write belongs to a picture with another ending."""
    if plan.file is not None or plan.progressive is None:
        return False
    there = progress_target(plan.progressive, path)
    return os.path.lexists(there) and not (resumed and (is_sheet(there) or (there.is_dir() and not there.is_symlink())))
