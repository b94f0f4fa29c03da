"""What never changes during training, computed once: decoded pictures, latents, encoded captions.

Every entry is a folder named after a hash of what it was made from, so a stale one is never used; see entries.py.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from ldmcli.data.captioned import CaptionedImage, CaptionedImages
from ldmcli.data.decoders import Decoders, Squares
from ldmcli.data.entries import Entry as Entry
from ldmcli.data.entries import EntryWriter as EntryWriter
from ldmcli.data.entries import open_entry as open_entry
from ldmcli.data.pictures import CROPS, DECODING
from ldmcli.records import Progress

CHUNK = 64
"""Pictures that are decoded side by side."""


def fingerprint(*parts: object) -> str:
    """Hash of anything with a stable str(): 16 hex digits."""
    return hashlib.blake2b("\0".join(str(p) for p in parts).encode(), digest_size=8).hexdigest()


def data_fingerprint(data: CaptionedImages) -> str:
    """Changes when a picture file (by size and time), its place or a caption changes. A shard is asked once for its size and time."""
    stats: dict[Path, tuple[int, int]] = {}

    def of(image: CaptionedImage) -> tuple[object, ...]:
        stat = stats[image.path] if image.path in stats else stats.setdefault(image.path, _stat(image.path))
        return (image.path.name, stat, image.captions, *((image.span,) if image.span else ()))

    return fingerprint(*map(of, data.images))


def pixels_fingerprint(data: CaptionedImages, size: int, crop: str) -> str:
    """Changes with everything that decides the decoded pictures."""
    return fingerprint(data_fingerprint(data), size, crop, DECODING)


def decoded_pictures(
    data: CaptionedImages, size: int, cache: Path, *, crop: str = "center", decoders: Decoders | None = None
) -> Iterator[Progress | Entry]:
    """All pictures at size x size: array `pixels` (N V, 3, size, size) uint8, the V squares of `crop` of a picture next to each other;
    fact `bad`: {number of the picture: reason} of unusable files.

    Yields progress, and the entry last. Unusable pictures stay black; the caller leaves them out.
    """
    folder = cache / f"pixels-{size}-{pixels_fingerprint(data, size, crop)}"
    entry = open_entry(folder)
    if entry is None:
        views = len(CROPS[crop])
        writer = EntryWriter(folder, {"pixels": ((len(data) * views, 3, size, size), "uint8")})
        bad: dict[str, str] = dict(writer.facts.get("bad", {}))
        try:
            for first, found in _decode(data, size, crop, writer.done, decoders):
                yield Progress("decode pictures", first, len(data))
                for number, got in enumerate(found, start=first):
                    if isinstance(got, str):
                        bad[str(number)] = got
                    else:
                        writer.put("pixels", number * views, torch.from_numpy(got))
                writer.advance(first + len(found), {"bad": bad})
            entry = writer.finish({"bad": bad})
        finally:
            writer.close()
        yield Progress("decode pictures", len(data), len(data))
    yield entry


def checked_pictures(data: CaptionedImages, size: int, *, decoders: Decoders | None = None) -> Iterator[Progress | dict[str, str]]:
    """Decode all pictures and keep nothing: yields progress, and {number: reason} of the unusable ones last."""
    bad: dict[str, str] = {}
    for first, found in _decode(data, size, "center", 0, decoders):
        yield Progress("check pictures", first, len(data))
        bad.update({str(number): got for number, got in enumerate(found, start=first) if isinstance(got, str)})
    yield bad


def _decode(data: CaptionedImages, size: int, crop: str, start: int, decoders: Decoders | None) -> Iterator[tuple[int, list[Squares]]]:
    """(number of the first picture, its squares or why there are none, and those of its neighbours)."""
    with decoders or Decoders() as reading:
        for first in range(start, len(data), CHUNK):
            yield first, reading.read(data.images[first : first + CHUNK], size, crop)


def filled(
    folder: Path, count: int, batch: int, compute: Callable[[int, int], dict[str, Tensor]], stage: str, *, starts: Tensor | None = None
) -> Iterator[Progress | Entry]:
    """An entry whose rows first..last come from compute(first, last), in fp16. Yields progress, and the entry last.

    starts: (count + 1,) int64 where rows are several lines of the arrays each: row n is lines starts[n] to starts[n + 1] - 1.
    One that was interrupted is gone on with, in the same batches, so that it ends with the same bits.
    """
    entry = open_entry(folder)
    if entry is None:
        writer: EntryWriter | None = None
        line = list(range(count + 1)) if starts is None else starts.tolist()
        first = 0
        try:
            while first < count:
                last = min(first + batch, count)
                rows = compute(first, last)
                if writer is None:  # its shapes are known now
                    shapes = {name: ((line[count], *value.shape[1:]), "float16") for name, value in rows.items()}
                    writer = EntryWriter(folder, shapes)
                    if done := writer.done - writer.done % batch:
                        first = done
                        continue
                for name, value in rows.items():
                    writer.put(name, line[first], value)
                first = last
                writer.advance(last, {})
                yield Progress(stage, last, count)
            assert writer is not None, "a cache needs at least one row"
            entry = writer.finish({})
        finally:
            if writer is not None:
                writer.close()
    yield entry


def _stat(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def to_unit_range(pixels: Tensor) -> Tensor:
    """uint8 0..255 -> float32 -1..1, any shape."""
    return pixels.to(torch.float32) / 127.5 - 1
