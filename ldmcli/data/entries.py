"""Folders of arrays that are there when they are finished, can be gone on with when they are not, and leave nothing behind.

An entry is filled under a temporary name, on which the writing process holds a lock, and renamed when complete.
"""

import contextlib
import fcntl
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

NOTE_EVERY = 2.0
"""Seconds of work that a kill -9 may cost."""
ABANDONED_AFTER = 24 * 3600.0
"""Seconds after which an unfinished entry that nobody writes is swept away."""
Shapes = dict[str, tuple[tuple[int, ...], str]]
"""Array name -> (full shape, numpy dtype)."""


@dataclass(frozen=True)
class Entry:
    """A finished entry: memory-mapped arrays by name, and the facts that were noted when it was made."""

    arrays: dict[str, Tensor]
    facts: dict[str, Any]


def open_entry(folder: Path) -> Entry | None:
    """The entry, or None if it was never finished or is damaged."""
    try:
        facts = json.loads((folder / "entry.json").read_text())
        arrays = {path.stem: torch.from_numpy(np.load(path, mmap_mode="c")) for path in sorted(folder.glob("*.npy"))}
    except (OSError, ValueError):  # not there, or a copy that was cut short
        return None
    return Entry(arrays, facts) if arrays else None


class EntryWriter:
    """Fills `folder` row by row; nothing stands under its name until `finish`. done, facts: where an earlier writer stopped."""

    def __init__(self, folder: Path, shapes: Shapes) -> None:
        self.folder = folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        # Two processes may make the same entry at once: the second works under a name of its own, and the first to finish wins.
        common = folder.with_name(f".{folder.name}.tmp")
        taken = _lock(common)
        self.temporary = common if taken else folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        lock = taken or _lock(self.temporary)
        assert lock is not None, "the name of our own process is free"
        self._lock = lock
        self.done, self.facts = 0, dict[str, Any]()
        self.arrays = self._taken_over(shapes) or self._fresh(shapes)
        self._noted = time.monotonic()

    def put(self, name: str, first: int, rows: Tensor) -> None:
        """rows: (n, ...) written at first..first+n."""
        array = self.arrays[name]
        rows = rows.float() if rows.dtype == torch.bfloat16 else rows  # numpy has no bfloat16
        array[first : first + len(rows)] = rows.cpu().numpy().astype(array.dtype)

    def advance(self, done: int, facts: dict[str, Any]) -> None:
        """All rows before `done` are written; now and then this is noted on disk."""
        self.done, self.facts = done, facts
        if time.monotonic() - self._noted >= NOTE_EVERY:
            self._note()

    def close(self) -> None:
        """Leave what is done to a later writer."""
        if not self._lock.closed:
            self._note()
            self._lock.close()

    def finish(self, facts: dict[str, Any]) -> Entry:
        """Make it the entry of this name. A finished one that appeared meanwhile wins."""
        for array in self.arrays.values():
            array.flush()
        _write(self.temporary / "entry.json", facts)
        for name in ("progress.json", "lock"):
            (self.temporary / name).unlink(missing_ok=True)
        if open_entry(self.folder) is None:
            shutil.rmtree(self.folder, ignore_errors=True)  # half an entry, from a copy that was cut short
            with contextlib.suppress(OSError):  # another process was faster by a moment
                os.replace(self.temporary, self.folder)
        shutil.rmtree(self.temporary, ignore_errors=True)
        self._lock.close()
        entry = open_entry(self.folder)
        assert entry is not None
        return entry

    def _note(self) -> None:
        for array in self.arrays.values():
            array.flush()  # before the note that counts on it
        _write(self.temporary / "progress.json", {"done": self.done, "facts": self.facts})
        self._noted = time.monotonic()

    def _taken_over(self, shapes: Shapes) -> dict[str, np.memmap[Any, Any]] | None:
        """The arrays of a writer that was interrupted, if they are of these shapes."""
        try:
            progress = json.loads((self.temporary / "progress.json").read_text())
            arrays = {name: np.lib.format.open_memmap(self.temporary / f"{name}.npy", mode="r+") for name in shapes}
            if any((arrays[name].shape, arrays[name].dtype) != (shape, np.dtype(kind)) for name, (shape, kind) in shapes.items()):
                return None
            self.done, self.facts = int(progress["done"]), dict(progress["facts"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return arrays

    def _fresh(self, shapes: Shapes) -> dict[str, np.memmap[Any, Any]]:
        for path in self.temporary.iterdir():
            if path.name != "lock":
                path.unlink()
        return {name: _mapped(self.temporary / f"{name}.npy", shape, np.dtype(kind)) for name, (shape, kind) in shapes.items()}


def _mapped(path: Path, shape: tuple[int, ...], kind: np.dtype[Any]) -> np.memmap[Any, Any]:
    """A new array in a file. Raises OSError where the disk has no room for all of it, which a write into memory would tell by SIGBUS."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _lock(temporary: Path) -> IO[str] | None:
    """The lock of a temporary folder, or None while another writer holds it."""
    while True:
        temporary.mkdir(exist_ok=True)
        try:
            lock = (temporary / "lock").open("w")
        except FileNotFoundError:  # finished and renamed by its writer in this moment
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock.fileno()).st_ino == (temporary / "lock").stat().st_ino:
                return lock
        except BlockingIOError:
            lock.close()
            return None
        except FileNotFoundError:  # the lock that we got went away with its folder
            pass
        lock.close()


def _sweep(cache: Path) -> None:
    """Remove what killed writers left long ago: their temporary folders, locked by nobody."""
    for folder in cache.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            newest = max((path.stat().st_mtime for path in folder.iterdir()), default=folder.stat().st_mtime)
            if time.time() - newest > ABANDONED_AFTER and (lock := _lock(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                lock.close()


def _write(path: Path, body: object) -> None:
    """A whole JSON file or none."""
    part = path.with_suffix(".part")
    with part.open("w") as file:
        json.dump(body, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
