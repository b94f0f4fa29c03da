"""What lies in a folder and the folders below it: pictures, the captions beside them, and metadata files."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ldmcli.data.endings import CLOSED, ending_of, is_picture

METADATA = ("metadata.jsonl", "metadata.csv")
BESIDE = {".txt", ".json", ".npz", ".npy", ".caption"}
"""Endings of what lies beside a picture and is none: captions, descriptions, cached latents."""


@dataclass
class Survey:
    """Each in the order of its names. closed: what has a caption, or is known as a picture, and that Pillow does not open.
    captioned: whether a .txt lies beside one of either. metadata: of every folder the first of METADATA."""

    pictures: list[Path] = field(default_factory=list)
    closed: list[Path] = field(default_factory=list)
    metadata: list[Path] = field(default_factory=list)
    captioned: bool = False


def survey(root: Path) -> Survey:
    """Look through the folder. Hidden files and folders are left alone; links are followed, and each folder is looked into once."""
    found = Survey()
    for folder, names in _walk(root):
        siblings = set(names)
        pictures = [name for name in names if is_picture(name)]
        stems = {os.path.splitext(name)[0] for name in pictures}
        for name in names:
            stem, ending = os.path.splitext(name)
            if name.startswith(".") or ending_of(name) in BESIDE or is_picture(name):
                continue
            if ending_of(name) in CLOSED or (ending and f"{stem}.txt" in siblings and stem not in stems):
                found.closed.append(folder / name)
                stems.add(stem)
        found.pictures += [folder / name for name in pictures]
        found.metadata += [folder / name for name in METADATA if name in siblings][:1]
        found.captioned = found.captioned or any(f"{stem}.txt" in siblings for stem in stems)
    return Survey(sorted(found.pictures), sorted(found.closed), sorted(found.metadata), found.captioned)


def _walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """(folder, names of its files). A link to a folder above would else lead round and round."""
    seen = set()
    for folder, below, names in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield Path(folder), names
