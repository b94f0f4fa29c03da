"""Folders of arrays that are there when they are finished, can be gone on with when they are not, and leave nothing behind.

An entry is filled under a temporary name, on which the writing processes hold a lock, and renamed when complete.
"""

import contextlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ldmcli.data.locks import share_lock, shared_lock, sole_lock
from ldmcli.data.npy_rows import NpyRows
from ldmcli.data.process_group import NOT_SHARED, SINGLE_PROCESS, ProcessGroup
from ldmcli.data.row_ranges import RowRanges
from ldmcli.errors import LdmError
from ldmcli.readers.json_text import DATA_BYTES, read_json
from ldmcli.readers.tables import CACHE_ENTRY

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
        facts = read_json(folder / "entry.json", CACHE_ENTRY, most=DATA_BYTES)
        arrays = {path.stem: torch.from_numpy(_mapped(path, "c")) for path in sorted(folder.glob("*.npy"))}
    except (OSError, ValueError, LdmError):  # not there, or a copy that was cut short
        return None
    return Entry(arrays, facts) if arrays else None


def open_shared_entry(process_group: ProcessGroup, folder: Path) -> Entry | None:
    """The entry for every process, if the first one finds it. Raises LdmError when the others do not see the same folder."""
    entry = open_entry(folder) if process_group.index == 0 else None
    if not process_group.gather(entry is not None)[0]:
        return None
    entry = entry or open_entry(folder)
    if entry is None:
        raise LdmError(f"{folder} is not there.", hint=NOT_SHARED)
    return entry


class EntryWriter:
    """Fills `folder` row by row, each process of the group its own rows; nothing stands under its name until `finish`.

    done: the rows that earlier writers finished; facts: what they noted, name -> row -> text (on the first process only).
    """

    def __init__(self, folder: Path, shapes: Shapes, process_group: ProcessGroup = SINGLE_PROCESS) -> None:
        self.folder, self.process_group = folder, process_group
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
            _write(self.temporary / "entry.json", facts)
            for path in (*self.temporary.glob("progress*.json"), self.temporary / "lock"):
                path.unlink(missing_ok=True)
            if open_entry(self.folder) is None:
                shutil.rmtree(self.folder, ignore_errors=True)  # half an entry, from a copy that was cut short
                with contextlib.suppress(OSError):  # another run was faster by a moment
                    os.replace(self.temporary, self.folder)
            shutil.rmtree(self.temporary, ignore_errors=True)
        self._end()
        entry = open_shared_entry(self.process_group, self.folder)
        assert entry is not None
        return entry

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
                array = _mapped(self.temporary / f"{name}.npy", "r")
                if (array.shape, array.dtype) != (shape, np.dtype(kind)):
                    return None
            for note in notes:
                said = read_json(note, most=DATA_BYTES)
                for first, last in said["done"]:
                    done.add(int(first), int(last))
                for name, value in said["facts"].items():
                    facts[name] = {**facts.get(name, {}), **value}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, LdmError):
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
                path.unlink()
        for name, (shape, kind) in shapes.items():
            np.lib.format.open_memmap(self.temporary / f"{name}.npy", mode="w+", dtype=np.dtype(kind), shape=shape)
        return RowRanges()


def _mapped(path: Path, mode: Literal["r", "c"]) -> Any:
    """The array of a .npy file, mapped into memory. Raises ValueError or OSError for a damaged one."""
    try:
        return np.lib.format.open_memmap(path, mode)
    except OSError:
        raise
    except Exception as error:  # numpy evaluates a header that others have written, which can fail in any way
        raise ValueError(f"{path.name} is damaged") from error


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
