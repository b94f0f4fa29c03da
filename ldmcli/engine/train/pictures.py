"""The pictures of a run: found, decoded, and split into those that train and those that are held out."""

from collections.abc import Generator, Iterator, Sequence
from typing import Any

import torch

from ldmcli.config.training import TrainConfig
from ldmcli.data.cache import Entry, checked_pictures, decoded_pictures
from ldmcli.data.captioned import CaptionedImage, CaptionedImages
from ldmcli.data.row_sources import DecodedOnDemand, RowSource, StreamedPictures
from ldmcli.data.streamed import ShardImages
from ldmcli.engine.train.context import DataSplit, RunContext
from ldmcli.engine.train.picture_counts import check_enough, held_out_count
from ldmcli.engine.train.run_folder import write_skipped
from ldmcli.errors import LdmError
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.records.words import counted
from ldmcli.training.block_order import BlockOrder
from ldmcli.training.order import SampleOrder, generator_for

SAID = 5
"""Unusable pictures that are named on the terminal."""


def split_pictures(data: CaptionedImages, config: TrainConfig, context: RunContext) -> Generator[Event, None, tuple[RowSource, DataSplit]]:
    """Decode, and set aside what is held out. Returns pixels as `usable_pixels`, and the split. Raises UsageError for less than a batch."""
    if isinstance(data.images, ShardImages):
        return (yield from _streamed(data, data.images, config, context))
    pixels, usable = yield from usable_pixels(data, config, context)
    train_rows, val_rows = split(usable, config.seed, config.held_out)
    train_rows = without(train_rows, val_rows, data.images)
    check_enough(len(train_rows), len(val_rows), config, context.processes.count)
    yield Note(f"{counted(len(train_rows), 'picture')} to train on, {len(val_rows)} held out, from {data.source} ({data.layout})")
    return pixels, DataSplit(data, train_rows, val_rows, SampleOrder(len(train_rows), config.seed))


def _streamed(
    data: CaptionedImages, images: ShardImages, config: TrainConfig, context: RunContext
) -> Generator[Event, None, tuple[RowSource, DataSplit]]:
    """Nothing is decoded before it is drawn. The last pictures of the last shards are held out."""
    held_out = held_out_count(len(images), config.held_out)
    train = len(images) - held_out
    check_enough(train, held_out, config, context.processes.count)
    counts = [max(min(count, train - first), 0) for count, first in zip(images.counts, images.first, strict=False)]
    block = min(config.shuffle_block, len(counts))
    shuffled = f"shuffled by blocks of {counted(block, 'shard')}"
    yield Note(f"{counted(train, 'picture')} to train on, {shuffled}, {held_out} held out, from {data.source} ({data.layout})")
    if context.processes.main:
        write_skipped(config.output, data, {})
    pixels = StreamedPictures(data, images, config.size, config.crop, context.decoders, config.max_bad)
    return pixels, DataSplit(data, range(train), list(range(train, len(images))), BlockOrder(counts, config.seed, block))


def usable_pixels(data: CaptionedImages, config: TrainConfig, context: RunContext) -> Generator[Event, None, tuple[RowSource, list[int]]]:
    """Decode all pictures (cached, unless --no-cache).

    Returns (pixels (N V, 3, S, S) uint8, numbers of usable pictures) as the generator's value.
    Raises LdmError when more than --max-bad are unusable; RUN/skipped.jsonl lists them in any case.
    """
    processes, decoders = context.processes, context.decoders
    found: Entry | dict[str, str] | None = None
    if config.no_cache:
        events: Iterator[Any] = checked_pictures(data, config.size, process_group=processes, decoders=decoders)
    else:
        cache = config.cache or config.output / "cache"
        events = decoded_pictures(data, config.size, cache, crop=config.crop, process_group=processes, decoders=decoders)
    for event in events:
        if isinstance(event, Entry | dict):
            found = event
        else:
            yield event
    assert found is not None
    pixels: RowSource = found.arrays["pixels"] if isinstance(found, Entry) else DecodedOnDemand(data, config.size, config.crop, decoders)
    bad: dict[str, str] = found.facts["bad"] if isinstance(found, Entry) else found
    if processes.main:
        write_skipped(config.output, data, bad)
    if len(bad) > config.max_bad:
        raise LdmError(
            f"{counted(len(bad), 'unusable picture')}, more than --max-bad {config.max_bad}: " + "; ".join(list(bad.values())[:3]),
            hint=f"{config.output / 'skipped.jsonl'} lists them.",
        )
    yield from (Note(f"left out {reason}", warning=True) for reason in list(bad.values())[:SAID])
    if len(bad) > SAID:
        yield Note(f"left out {len(bad) - SAID} more: {config.output / 'skipped.jsonl'} lists them", warning=True)
    return pixels, [row for row in range(len(data)) if str(row) not in bad]


def without(rows: list[int], held_out: list[int], images: Sequence[CaptionedImage]) -> list[int]:
    """Of the rows those whose picture is not held out in another row: a list may name a file more than once."""

    hidden = {place_of(images[row]) for row in held_out}
    return [row for row in rows if place_of(images[row]) not in hidden] if hidden else rows


def place_of(image: CaptionedImage) -> tuple[object, ...]:
    """Where its bytes lie: the same for one that is listed more than once."""
    return image.path, image.span, image.cell, image.column


def split(rows: list[int], seed: int, share: float) -> tuple[list[int], list[int]]:
    """(training, held-out) rows, by picture, as a function of the seed; see held_out_count."""
    count = held_out_count(len(rows), share)
    shuffled = [rows[i] for i in torch.randperm(len(rows), generator=generator_for(seed, "split")).tolist()]
    return sorted(shuffled[count:]), sorted(shuffled[:count])
