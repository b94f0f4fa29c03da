"""`ldm generate --merge`: folders that hold parts of one command become one folder."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from ldmcli.errors import LdmError, NotFound, PartlyFailed, UsageError
from ldmcli.outputs.joining import Joined, copy_new, join, ranges
from ldmcli.outputs.manifest import RECORD_KEYS, Manifest, check_manifest, checksum, planned_number
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.records.pictures import ImageRecord
from ldmcli.records.words import counted


def merge_folders(folders: Sequence[Path], output: str) -> Iterator[Event]:
    """Copy every picture once, write one manifest in the order of the numbers. Yields a note, and a record per picture.

    A folder that was merged into before takes what is new. Raises LdmError where folders disagree, PartlyFailed at the end when numbers
    are missing.
    """
    target = Path(output).expanduser()
    if target.exists() and not target.is_dir():
        raise UsageError(f"-o {output}: a file of this name is in the way.")
    sources = [folder for folder in dict.fromkeys(folders) if not _same(folder, target)]
    if target.is_dir():
        check_manifest(target)
    manifest = Manifest(target)
    joined = join([*([target] if manifest.rows else []), *sources])
    check_numbers(joined)
    if not joined.pictures:
        raise LdmError(f"none of {counted(len(folders), 'folder')} holds a finished picture.")
    name, times = Counter(row["path"] for _, row in joined.pictures.values()).most_common(1)[0]
    if times > 1:
        raise LdmError(f"two pictures are named {name}.", hint="Draw the parts again without a template in -o.")
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LdmError(f"cannot make the folder {target}: {error.strerror}.") from error
    for folder, row in sorted(joined.pictures.values(), key=lambda picture: planned_number(picture[1])):
        _copy(folder, target, row)
        yield _record(target, row)
    manifest.rewrite(rows_of(joined))
    if joined.twice:
        yield Note(f"{counted(len(joined.twice), 'picture')} there more than once, and equal")
    yield from _what_is_not_there(joined, target)


def _what_is_not_there(joined: Joined, target: Path) -> Iterator[Note]:
    """A warning of pictures that could not be drawn. Raises PartlyFailed where some could not, or are missing."""
    failed = f"{counted(len(joined.failed), 'picture')} could not be drawn: {ranges(number for _, number in joined.failed)}."
    hint = f"Draw what is missing: the same command with --resume -o {target}/"
    if joined.missing:
        if joined.failed:
            yield Note(failed, warning=True)
        raise PartlyFailed(f"{counted(len(joined.missing), 'picture')} missing: {ranges(joined.missing)}.", hint=hint)
    if joined.failed:
        raise PartlyFailed(failed, hint=hint)


def _same(folder: Path, target: Path) -> bool:
    """Whether the target is among the folders. Raises NotFound for one that is not there."""
    if not folder.is_dir():
        raise NotFound(f"{folder} is not there, or no folder.", hint="Name folders that ldm generate has written.")
    return target.exists() and folder.samefile(target)


def check_numbers(joined: Joined) -> None:
    """Raise LdmError where two commands, or the same one drawn twice, claim the same numbers or number the same pictures."""
    for one, other in combinations(joined.starts, 2):
        if one[2] < other[2] + other[3] and other[2] < one[2] + one[3]:
            raise LdmError("the folders hold pictures of different commands under the same numbers.", hint="Merge each command by itself.")
        if one[:2] == other[:2]:
            hint = "Draw the parts into new folders."
            raise LdmError(f"the folders hold the same command twice, numbered from {one[2]} and from {other[2]}.", hint=hint)


def rows_of(joined: Joined) -> list[dict[str, Any]]:
    """What began, then the pictures and failures by number."""
    rows = [*(row for _, row in joined.pictures.values()), *joined.failed.values()]
    return [*joined.starts.values(), *sorted(rows, key=planned_number)]


def _copy(folder: Path, target: Path, row: dict[str, Any]) -> None:
    """The picture and what lies beside it, unless they are there. Raises LdmError where another file has the name."""
    for name in filter(None, (row["path"], row["progress"])):
        source, copy = folder / name, target / name
        if folder == target or source.is_symlink():  # nothing is read through a link
            continue
        if not copy.exists() and not copy.is_symlink():
            copy_new(source, copy)
        elif copy.is_symlink() or (name == row["path"] and checksum(copy) != row["sha256"]):
            raise LdmError(f"{copy} is another picture than {source}.", hint="Merge into a new folder.")


def _record(folder: Path, row: dict[str, Any]) -> ImageRecord:
    progress = str(folder / row["progress"]) if row["progress"] else None
    return ImageRecord(**{**{key: row[key] for key in RECORD_KEYS}, "path": str(folder / row["path"]), "progress": progress})
