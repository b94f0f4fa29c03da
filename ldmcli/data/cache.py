"""What never changes during training, computed once: decoded pictures, latents, encoded captions.

Every entry is a folder named after a hash of what it was made from, so a stale one is never used; see cache_entry.py.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from ldmcli.data.cache_entry import EntryWriter as EntryWriter
from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.decoders import Decoders
from ldmcli.data.fingerprints import fingerprint, timed_fingerprint
from ldmcli.data.finished_entry import Entry as Entry
from ldmcli.data.finished_entry import open_entry as open_entry
from ldmcli.data.finished_entry import open_shared_entry
from ldmcli.data.pictures import CROPS, DECODING
from ldmcli.data.process_group import SINGLE_PROCESS, ProcessGroup, rounds
from ldmcli.records.notes import Note, Progress

CHUNK = 64
"""Pictures that are decoded side by side."""


def pixels_fingerprint(data: CaptionedImages, size: int, crop: str) -> str:
    """Changes with everything that decides the decoded pictures."""
    return fingerprint(timed_fingerprint(data), size, crop, DECODING)


def decoded_pictures(
    data: CaptionedImages,
    size: int,
    cache: Path,
    *,
    crop: str = "center",
    process_group: ProcessGroup = SINGLE_PROCESS,
    decoders: Decoders | None = None,
) -> Iterator[Progress | Note | Entry]:
    """All pictures at size x size: array `pixels` (N V, 3, size, size) uint8, the V squares of `crop` of a picture next to each other;
    fact `bad`: {number of the picture: reason} of unusable files.

    Yields progress, a warning where a damaged entry is made again, and the entry last. Unusable pictures stay black; the caller leaves
    them out.
    """
    folder = cache / f"pixels-{size}-{pixels_fingerprint(data, size, crop)}"
    views = len(CROPS[crop])
    bad: dict[str, str] = {}

    def write(writer: EntryWriter, first: int, last: int) -> None:
        for number, got in enumerate(reading.read(data.images[first:last], size, crop), start=first):
            if isinstance(got, str):
                bad[str(number)] = got
            else:
                writer.put("pixels", number * views, torch.from_numpy(got))
        writer.advance(first, last, {"bad": bad})

    shape = (len(data) * views, 3, size, size)

    def fits(entry: Entry) -> bool:
        pixels, numbers = entry.arrays["pixels"], map(int, entry.facts["bad"])
        reasons = all(isinstance(reason, str) for reason in entry.facts["bad"].values())
        return (pixels.shape, pixels.dtype) == (shape, torch.uint8) and all(0 <= row < len(data) for row in numbers) and reasons

    damaged = os.path.lexists(folder)
    entry = open_shared_entry(process_group, folder, fits)
    if entry is None:
        yield from _made_again(folder, damaged)
        writer = EntryWriter(folder, {"pixels": (shape, "uint8")}, process_group, fits)
        bad.update({number: str(reason) for number, reason in writer.facts.get("bad", {}).items() if number.isdecimal()})
        with closing(writer), decoders or Decoders() as reading:
            yield from _fill(writer, len(data), CHUNK, write, "decode pictures")
            entry = writer.finish({"bad": _all_of(bad, process_group)})
    yield entry


def checked_pictures(
    data: CaptionedImages, size: int, process_group: ProcessGroup = SINGLE_PROCESS, *, decoders: Decoders | None = None
) -> Iterator[Progress | dict[str, str]]:
    """Decode all pictures and keep nothing: yields progress, and {number: reason} of the unusable ones last."""
    bad: dict[str, str] = {}
    done = 0
    with decoders or Decoders() as reading:
        for pieces in rounds(_cuts(len(data), CHUNK), process_group):
            for first, last in pieces:
                found = reading.read(data.images[first:last], size, "center")
                bad.update({str(number): got for number, got in enumerate(found, start=first) if isinstance(got, str)})
            done += sum(process_group.gather(sum(last - first for first, last in pieces)))
            yield Progress("check pictures", done, len(data))
    yield _all_of(bad, process_group)


def filled(
    folder: Path,
    count: int,
    batch: int,
    compute: Callable[[int, int], dict[str, Tensor]],
    stage: str,
    process_group: ProcessGroup = SINGLE_PROCESS,
    *,
    starts: Tensor | None = None,
) -> Iterator[Progress | Note | Entry]:
    """An entry whose rows first..last come from compute(first, last), in fp16. Yields progress, a warning where a damaged
    entry is made again, and the entry last.

    starts: (count + 1,) int64 where rows are several lines of the arrays each: row n is lines starts[n] to starts[n + 1] - 1.
    Any number of processes go through the same batches, and so does a run that goes on with an interrupted one: the same bits.
    """
    line = list(range(count + 1)) if starts is None else starts.tolist()

    def write(writer: EntryWriter, first: int, last: int) -> None:
        for name, value in compute(first, last).items():
            writer.put(name, line[first], value)
        writer.advance(first, last, {})

    def fits(entry: Entry) -> bool:
        return all((len(array), array.dtype) == (line[count], torch.float16) for array in entry.arrays.values())

    damaged = os.path.lexists(folder)
    entry = open_shared_entry(process_group, folder, fits)
    if entry is None:
        yield from _made_again(folder, damaged)
        shapes = {name: ((line[count], *value.shape[1:]), "float16") for name, value in compute(0, 1).items()}
        writer = EntryWriter(folder, shapes, process_group)
        with closing(writer):
            yield from _fill(writer, count, batch, write, stage)
            entry = writer.finish({})
    yield entry


def _made_again(folder: Path, damaged: bool) -> Iterator[Note]:
    """damaged: something stands under the name of the entry."""
    if damaged:
        yield Note(f"{folder} is damaged, and made again", warning=True)


def _fill(writer: EntryWriter, count: int, batch: int, write: Callable[[EntryWriter, int, int], None], stage: str) -> Iterator[Progress]:
    """Write the batches that are not done yet, each process its share; after every round they hear how far the others are."""
    left = [cut for cut in _cuts(count, batch) if cut not in writer.done]
    done = count - sum(last - first for first, last in left)
    for pieces in rounds(left, writer.process_group):
        for first, last in pieces:
            write(writer, first, last)
        done += sum(writer.process_group.gather(sum(last - first for first, last in pieces)))
        yield Progress(stage, done, count)


def _cuts(count: int, batch: int) -> list[tuple[int, int]]:
    return [(first, min(first + batch, count)) for first in range(0, count, batch)]


def _all_of(bad: dict[str, str], process_group: ProcessGroup) -> dict[str, str]:
    """What every process found, in the order of the pictures."""
    found = {number: reason for part in process_group.gather(bad) for number, reason in part.items()}
    return {number: found[number] for number in sorted(found, key=int)}


def to_unit_range(pixels: Tensor) -> Tensor:
    """uint8 0..255 -> float32 -1..1, any shape."""
    return pixels.to(torch.float32) / 127.5 - 1
