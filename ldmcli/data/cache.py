"""What never changes during training, computed once: decoded pictures, latents, encoded captions.

Every entry is a folder named after a hash of what it was made from, so a stale one is never used; it is filled under a
temporary name and renamed when complete.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.pictures import BadPicture, read_square
from ldmcli.records import Progress


@dataclass(frozen=True)
class Entry:
    """A finished entry: memory-mapped arrays by name, and the facts that were noted when it was made."""

    arrays: dict[str, Tensor]
    facts: dict[str, Any]


def fingerprint(*parts: object) -> str:
    """Hash of anything with a stable str(): 16 hex digits."""
    return hashlib.blake2b("\0".join(str(p) for p in parts).encode(), digest_size=8).hexdigest()


def data_fingerprint(data: CaptionedImages) -> str:
    """Changes when a picture file (by size and time), its place or a caption changes."""
    stats = ((image.path.name, *_stat(image.path), image.captions) for image in data.images)
    return fingerprint(*stats)


def open_entry(folder: Path) -> Entry | None:
    """The entry, or None if it was never finished."""
    note = folder / "entry.json"
    if not note.is_file():
        return None
    facts = json.loads(note.read_text())
    arrays = {path.stem: torch.from_numpy(np.load(path, mmap_mode="c")) for path in sorted(folder.glob("*.npy"))}
    return Entry(arrays, facts)


class EntryWriter:
    """Fills `folder` row by row; nothing stands under its name until `finish`."""

    def __init__(self, folder: Path, shapes: dict[str, tuple[tuple[int, ...], str]]) -> None:
        """shapes: array name -> (full shape, numpy dtype)."""
        self.folder = folder
        self.temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir(parents=True)
        self.arrays = {
            name: np.lib.format.open_memmap(self.temporary / f"{name}.npy", mode="w+", dtype=np.dtype(kind), shape=shape)
            for name, (shape, kind) in shapes.items()
        }

    def put(self, name: str, first: int, rows: Tensor) -> None:
        """rows: (n, ...) written at first..first+n."""
        array = self.arrays[name]
        rows = rows.float() if rows.dtype == torch.bfloat16 else rows  # numpy has no bfloat16
        array[first : first + len(rows)] = rows.cpu().numpy().astype(array.dtype)

    def finish(self, facts: dict[str, Any]) -> Entry:
        """Make it the entry of this name. A finished one that appeared meanwhile wins."""
        for array in self.arrays.values():
            array.flush()
        (self.temporary / "entry.json").write_text(json.dumps(facts))
        if open_entry(self.folder) is None:
            shutil.rmtree(self.folder, ignore_errors=True)  # half an entry, from a copy that was cut short
            with contextlib.suppress(OSError):  # another process was faster by a moment
                os.replace(self.temporary, self.folder)
        shutil.rmtree(self.temporary, ignore_errors=True)
        entry = open_entry(self.folder)
        assert entry is not None
        return entry


def decoded_pictures(data: CaptionedImages, size: int, cache: Path) -> Iterator[Progress | Entry]:
    """All pictures at size x size: array `pixels` (N, 3, size, size) uint8; fact `bad`: {number: reason} of unusable files.

    Yields progress, and the entry last. Unusable pictures stay black; the caller leaves them out.
    """
    folder = cache / f"pixels-{size}-{data_fingerprint(data)}"
    entry = open_entry(folder)
    if entry is None:
        writer = EntryWriter(folder, {"pixels": ((len(data), 3, size, size), "uint8")})
        bad: dict[str, str] = {}
        for number, image in enumerate(data.images):
            try:
                writer.put("pixels", number, read_square(image.path, size)[None])
            except BadPicture as error:
                bad[str(number)] = f"{image.path.name}: {error}"
            if number % 64 == 0:
                yield Progress("decode pictures", number, len(data))
        entry = writer.finish({"bad": bad})
        yield Progress("decode pictures", len(data), len(data))
    yield entry


def filled(
    folder: Path, count: int, batch: int, compute: Callable[[int, int], dict[str, Tensor]], stage: str
) -> Iterator[Progress | Entry]:
    """An entry whose rows first..last come from compute(first, last), in fp16. Yields progress, and the entry last."""
    entry = open_entry(folder)
    if entry is None:
        writer: EntryWriter | None = None
        for first in range(0, count, batch):
            last = min(first + batch, count)
            rows = compute(first, last)
            if writer is None:
                writer = EntryWriter(folder, {name: ((count, *value.shape[1:]), "float16") for name, value in rows.items()})
            for name, value in rows.items():
                writer.put(name, first, value)
            yield Progress(stage, last, count)
        assert writer is not None, "a cache needs at least one row"
        entry = writer.finish({})
    yield entry


def _stat(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def to_unit_range(pixels: Tensor) -> Tensor:
    """uint8 0..255 -> float32 -1..1, any shape."""
    return pixels.to(torch.float32) / 127.5 - 1
