"""The pictures that a run is judged by: which, how many, and that they are seen by their centre, wherever --crop trains."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ldmcli.config.training import TrainConfig
from ldmcli.data.cache import Entry, decoded_pictures
from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.decoders import Decoders
from ldmcli.data.pictures import CROPS
from ldmcli.data.row_sources import CountedRows, DecodedOnDemand, Rows, RowSource
from ldmcli.engine.train.context import DataSplit, RunContext
from ldmcli.records.events import Event
from ldmcli.runtime.processes import Processes

MEAN_OF, SCALE_OF = 256, 1024
"""Training pictures: whose mean is what a VAE's decoder must beat, and whose latents are measured."""


class Placed:
    """Rows of some pictures under the numbers of all."""

    def __init__(self, rows: RowSource, pictures: Sequence[int]) -> None:
        """pictures: the number of each row's picture."""
        self.rows, self.place = rows, {picture: place for place, picture in enumerate(pictures)}
        self.shape = rows.shape

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, pictures: Tensor, /) -> Tensor:
        return self.rows[torch.tensor([self.place[picture] for picture in pictures.tolist()], dtype=torch.int64)]


def centre_squares(
    data: CaptionedImages, pictures: Sequence[int], config: TrainConfig, processes: Processes, decoders: Decoders
) -> Generator[Event, None, tuple[CaptionedImages, RowSource]]:
    """The pictures with these numbers as a data set of their own, and their centre squares (n, 3, S, S), where --crop random has others."""
    some = replace(data, images=tuple(data.images[number] for number in pictures))
    if config.no_cache or not pictures:
        return some, DecodedOnDemand(some, config.size, "center", decoders)
    cache = config.cache or config.output / "cache"
    events: Iterator[Any] = decoded_pictures(some, config.size, cache, crop="center", process_group=processes, decoders=decoders)
    for event in events:
        if isinstance(event, Entry):
            return some, event.arrays["pixels"]
        yield event
    raise AssertionError("a cache ends with its entry")


def held_out_squares(split: DataSplit, config: TrainConfig, context: RunContext) -> Generator[Event, None, RowSource | None]:
    """The centre squares that a VAE's run looks at, where --crop random trains on others; else None."""
    if len(CROPS[config.crop]) == 1:
        return None
    seen = looked_at(split.train_rows, split.val_rows)
    _, squares = yield from centre_squares(split.data, seen, config, context.processes, context.decoders)
    return Placed(squares, seen)


def scale_rows(train_rows: Rows) -> Tensor:
    """The pictures whose latents are measured, from everywhere in the data; of streamed shards the first ones, in few of them."""
    if isinstance(train_rows, CountedRows):
        return train_rows[:SCALE_OF]
    return train_rows[:: max(len(train_rows) // SCALE_OF, 1)][:SCALE_OF]


def looked_at(train_rows: Sequence[int], val_rows: list[int]) -> list[int]:
    """Every picture that a VAE's run uses otherwise than to train on it."""
    return sorted({*val_rows, *train_rows[:MEAN_OF], *scale_rows(torch.tensor(train_rows)).tolist()})


def mean_and_deviation(parts: Sequence[Tensor]) -> tuple[Tensor, float]:
    """Of latents (B, C, h, w) in parts: the mean of each channel, (C,) float64, and the standard deviation of all without it."""
    count = sum(part[:, 0].numel() for part in parts)
    mean = torch.stack([part.double().sum(dim=(0, 2, 3)) for part in parts]).sum(0) / count
    squares = sum((part.double() - mean[:, None, None]).square().sum().item() for part in parts)
    return mean, (squares / max(count * len(mean) - 1, 1)) ** 0.5
