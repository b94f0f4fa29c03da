"""Captions of shards that are streamed: known by the number of their picture, and encoded when a batch has them."""

from collections.abc import Callable

import torch
from torch import Tensor

from ldmcli.data.captioned import CaptionedImage
from ldmcli.data.row_sources import ComputedOnDemand, RowSource
from ldmcli.data.streamed import ShardImages
from ldmcli.engine.train.unet_batches import CachedData
from ldmcli.models.text import TextConditioner

MOST = 64
"""Captions of a picture that are looked at: caption k of picture n has the number MOST n + k."""


Shown = Callable[[int], CaptionedImage]


class Counted:
    """Numbers that are computed from their places. shape: (count,) or more."""

    def __init__(self, shape: tuple[int, ...], compute: Callable[[Tensor], Tensor]) -> None:
        self.shape, self.compute = torch.Size(shape), compute

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        return self.compute(rows)


def streamed_captions(
    images: ShardImages, text: TextConditioner, mean: RowSource, std: RowSource | None, views: int, shown: Shown | None = None
) -> CachedData:
    """What a U-Net draws from; the empty caption is the last one, as in a cache. views: of each picture in mean and std; shown: the
    picture whose pixels come for a number, where it may be another one: its captions go with them.
    """
    count = len(images) * MOST

    def caption(number: int) -> str:
        if number == count:
            return ""
        captions = (shown or images.__getitem__)(number // MOST).captions
        return captions[number % MOST % len(captions)]

    def states(rows: Tensor) -> dict[str, Tensor]:
        return {"states": text.states([text.tokens(caption(row)) for row in rows.tolist()])}

    def mask(rows: Tensor) -> Tensor:
        found = text.mask([text.tokens(caption(row)) for row in rows.tolist()])
        assert found is not None
        return found

    def counts(rows: Tensor) -> Tensor:
        return torch.tensor([min(len(images[row].captions), MOST) for row in rows.tolist()])

    return CachedData(
        mean,
        std,
        ComputedOnDemand(count + 1, states).of("states"),
        Counted((count + 1, text.tokenizer.length), mask) if text.use_mask else None,
        Counted((count,), lambda rows: rows),
        Counted((len(images),), lambda rows: rows * MOST),
        Counted((len(images),), counts),
        views,
    )
