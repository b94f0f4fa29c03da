"""Which name in a captions file means which picture: by the longest end of the path that both share, or not at all."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ldmcli.errors import UsageError

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic"})
"""What a name may lack, or have of another kind."""

Parts = tuple[str, ...]
"""A name or a path, cut at its slashes."""


@dataclass(frozen=True)
class Paired:
    """Captions by picture, and how the pictures were found, in words with how many of each. failed: what could not be used, and why."""

    captions: dict[Path, list[str]]
    how: Counter[str]
    failed: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """`10 by folder and name, 2 by name`."""
        return ", ".join(f"{count} by {what}" for what, count in self.how.items())


def pair_names(rows: Iterable[tuple[str, list[str]]], files: Sequence[Path], source: str) -> Paired:
    """Give every picture the captions whose name fits its path best. rows: (name, captions), a name may come again.

    A name that says another folder than the picture lies in only counts where it fits no picture better. source: for messages.
    Raises UsageError where two names fit a picture equally well and their captions differ.
    """
    names: dict[Parts, list[str]] = defaultdict(list)
    for name, texts in rows:
        names[_parts(name)] += texts
    by_name, by_stem = _indexed(names, lambda last: last), _indexed(names, without_ending)
    best: dict[Path, tuple[int, list[Parts]]] = {}
    reach: Counter[Parts] = Counter()
    for file in files:
        folders = file.absolute().parent.parts
        candidates = by_name.get(file.name) or by_stem.get(without_ending(file.name), [])
        shared = {parts: _shared(parts[:-1], folders) for parts in candidates}
        most = max(shared.values(), default=0)
        best[file] = (most, [parts for parts, count in shared.items() if count == most])
        for parts, count in shared.items():
            reach[parts] = max(reach[parts], count)
    paired = Paired({}, Counter())
    for file, (most, candidates) in best.items():
        fitting = [parts for parts in candidates if reach[parts] == most]
        if fitting:
            parts = _the_one(fitting, names, file, source)
            paired.captions[file] = names[parts]
            paired.how["folder and name" if most else "name" if parts[-1] == file.name else "name without its ending"] += 1
    return paired


def without_ending(name: str) -> str:
    """`a.b` of `a.b.png`; a name that has none of a picture stays as it is."""
    stem, dot, ending = name.rpartition(".")
    return stem if stem and dot + ending.lower() in ENDINGS else name


def _the_one(fitting: list[Parts], names: Mapping[Parts, list[str]], file: Path, source: str) -> Parts:
    """Names that say no folder at all before those that say another one."""
    bare = [parts for parts in fitting if _shared(parts[:-1], file.absolute().parent.parts) == len(parts) - 1]
    left = bare or fitting
    if any(names[parts] != names[left[0]] for parts in left):
        shown = " and ".join("/".join(parts) for parts in left[:2])
        raise UsageError(f"{source}: {shown} could both be {file}.", hint="Write the names with the folders that the pictures lie in.")
    return left[0]


def _parts(name: str) -> Parts:
    """Backslashes are slashes, as Windows writes them."""
    return tuple(part for part in name.strip().replace("\\", "/").split("/") if part not in ("", ".")) or ("",)


def _indexed(names: Iterable[Parts], key: Callable[[str], str]) -> dict[str, list[Parts]]:
    found: dict[str, list[Parts]] = defaultdict(list)
    for parts in names:
        found[key(parts[-1])].append(parts)
    return dict(found)


def _shared(first: Parts, second: Parts) -> int:
    """How many folders, counted from the picture upwards, are the same."""
    count = 0
    while count < min(len(first), len(second)) and first[-1 - count] == second[-1 - count]:
        count += 1
    return count
