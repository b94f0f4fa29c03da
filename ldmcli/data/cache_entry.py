"""Folders of arrays that are there when they are finished, can be gone on with when they are not, and leave nothing behind.

An entry is filled under a temporary name, on which the writing processes hold a lock, and renamed when complete.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ldmcli.data.finished_entry import ARRAYS, DAMAGE, Entry, open_entry, open_shared_entry
from ldmcli.data.locks import share_lock, shared_lock, sole_lock
from ldmcli.data.npy_rows import NpyRows
from ldmcli.data.process_group import SINGLE_PROCESS, ProcessGroup
from ldmcli.data.row_ranges import RowRanges
from ldmcli.errors import LdmError

NOTE_EVERY = 2.0
"""Seconds of work that a kill -9 may cost."""
ABANDONED_AFTER = 24 * 3600.0
"""Seconds after which an unfinished entry that nobody writes is swept away."""
Shapes = dict[str, tuple[tuple[int, ...], str]]
"""Array name -> (full shape, numpy dtype)."""


class EntryWriter:
    """Fills `folder` row by row, each process of the group its own rows; nothing stands under its name until `finish`.

    done: the rows that earlier writers finished; facts: what they noted, name -> row -> text (on the first process only).
    """

    def __init__(
        self, folder: Path, shapes: Shapes, process_group: ProcessGroup = SINGLE_PROCESS, fits: Callable[[Entry], bool] | None = None
    ) -> None:
        """fits: whether an entry that another run has finished meanwhile is as good; by its shapes unless this is given."""
        self.folder, self.shapes, self.process_group, self.fits = folder, shapes, process_group, fits or self._of_these_shapes
        self.facts: dict[str, Any] = {}
        if process_group.index == 0:
            folder.parent.mkdir(parents=True, exist_ok=True)
            _sweep(folder.parent)
            # Two runs may make the same entry at once: the second works under a name of its own, and the first to finish wins.
            common = folder.with_name(f".{folder.name}.tmp")
            taken = sole_lock(common)
            self.temporary = common if taken else folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
            lock = taken or sole_lock(self.temporary)
            assert lock is not None, "the name of our own process is free"
            self._lock = lock
            self.done = self._taken_over(shapes) or self._fresh(shapes)
            share_lock(lock)
            process_group.gather((self.temporary, self.done))
        else:
            self.temporary, self.done = process_group.gather(None)[0]  # type: ignore[misc]
            self._lock = shared_lock(self.temporary)
        self.own = RowRanges()
        self._files = {name: NpyRows(self.temporary / f"{name}.npy") for name in shapes}
        self._noted = time.monotonic()

    def put(self, name: str, first: int, rows: Tensor) -> None:
        """rows: (n, ...) written at first..first+n."""
        rows = rows.float() if rows.dtype == torch.bfloat16 else rows  # numpy has no bfloat16
        self._files[name].write(first, rows.cpu().numpy())

    def advance(self, first: int, last: int, facts: dict[str, Any]) -> None:
        """Rows first..last are written; now and then this is noted on disk. facts: of all rows that this process has written."""
        self.own.add(first, last)
        self.facts = facts
        if time.monotonic() - self._noted >= NOTE_EVERY:
            self._note()

    def close(self) -> None:
        """Leave what is done to a later writer."""
        if not self._lock.closed:
            self._note()
            self._end()

    def finish(self, facts: dict[str, Any]) -> Entry:
        """Make it the entry of this name, once every process has come here. A finished one that appeared meanwhile wins."""
        for file in self._files.values():
            file.flush()
        self.process_group.gather(None)
        if self.process_group.index == 0:
            arrays = {name: [list(shape), np.dtype(kind).name] for name, (shape, kind) in self.shapes.items()}
            _write(self.temporary / "entry.json", {**facts, ARRAYS: arrays})
            for path in (*self.temporary.glob("progress*.json"), self.temporary / "lock"):
                path.unlink(missing_ok=True)
            if open_entry(self.folder, self.fits) is None:
                _remove(self.folder)  # half an entry, from a copy that was cut short
                with contextlib.suppress(OSError):  # another run was faster by a moment
                    os.replace(self.temporary, self.folder)
            shutil.rmtree(self.temporary, ignore_errors=True)
        self._end()
        entry = open_shared_entry(self.process_group, self.folder, self.fits)
        if entry is None:
            raise LdmError(
                f"{self.folder} could not be written: something stands in its place.", hint="Remove it, or name another --cache."
            )
        return entry

    def _of_these_shapes(self, entry: Entry) -> bool:
        return all(name in entry.arrays and entry.arrays[name].shape == shape for name, (shape, _) in self.shapes.items())

    def _note(self) -> None:
        for file in self._files.values():
            file.flush()  # before the note that counts on it
        _write(self.temporary / f"progress-{self.process_group.index}.json", {"done": self.own.pairs, "facts": self.facts})
        self._noted = time.monotonic()

    def _end(self) -> None:
        for file in self._files.values():
            file.close()
        self._lock.close()

    def _taken_over(self, shapes: Shapes) -> RowRanges | None:
        """What writers that were interrupted have done, if it is of these shapes; their notes become one."""
        done = RowRanges()
        facts: dict[str, Any] = {}
        notes = sorted(self.temporary.glob("progress*.json"))
        try:
            for name, (shape, kind) in shapes.items():
                array = np.load(self.temporary / f"{name}.npy", mmap_mode="r")
                if (array.shape, array.dtype) != (shape, np.dtype(kind)):
                    return None
            for note in notes:
                said = json.loads(note.read_text())
                for first, last in said["done"]:
                    done.add(int(first), int(last))
                for name, value in said["facts"].items():
                    facts[name] = {**facts.get(name, {}), **value}
        except DAMAGE:
            return None
        self.facts = facts
        _write(self.temporary / "progress.json", {"done": done.pairs, "facts": facts})
        for note in notes:
            if note.name != "progress.json":
                note.unlink()
        return done

    def _fresh(self, shapes: Shapes) -> RowRanges:
        for path in self.temporary.iterdir():
            if path.name != "lock":
                _remove(path)
        for name, (shape, kind) in shapes.items():
            np.lib.format.open_memmap(self.temporary / f"{name}.npy", mode="w+", dtype=np.dtype(kind), shape=shape)
        return RowRanges()


def _remove(path: Path) -> None:
    """A folder with all that is in it, a file, or a link, which is not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sweep(cache: Path) -> None:
    """Remove what killed writers left long ago: their temporary folders, locked by nobody."""
    for folder in cache.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            newest = max((path.stat().st_mtime for path in folder.iterdir()), default=folder.stat().st_mtime)
            if time.time() - newest > ABANDONED_AFTER and (lock := sole_lock(folder)) is not None:
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
