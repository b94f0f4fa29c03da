"""Rows of numbers that training draws from, whether they lie in a cache or are computed when they are asked for; and views of pictures."""

import contextlib
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ldmcli.data.captioned import CaptionedImage, CaptionedImages
from ldmcli.data.decoders import Decoders, Squares
from ldmcli.data.pictures import CROPS
from ldmcli.data.streamed import ShardImages
from ldmcli.errors import LdmError
from ldmcli.records.words import counted
from ldmcli.runtime.urls import shown

SHOWN = 100_000
"""Streamed pictures of which it is remembered what was shown for them: more than any batch holds."""


class RowSource(Protocol):
    """What a Tensor (N, ...) and the classes below have in common."""

    @property
    def shape(self) -> torch.Size:
        """(N, ...)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        """rows: (B,) int64. Returns (B, ...)."""
        ...


class DecodedOnDemand:
    """The `pixels` of a cache without one: (N V, 3, size, size) uint8, unusable pictures black."""

    def __init__(self, data: CaptionedImages, size: int, crop: str, decoders: Decoders | None = None) -> None:
        self.data, self.size, self.crop, self.views = data, size, crop, len(CROPS[crop])
        self.shape = torch.Size((len(data) * self.views, 3, size, size))
        self.decoders = decoders or Decoders()
        self.coming: dict[int, Future[Squares]] = {}

    def __len__(self) -> int:
        return self.shape[0]

    def prefetch(self, pictures: list[int]) -> None:
        """Begin to read these pictures, whose rows will be asked for."""
        for picture in pictures:
            if picture not in self.coming:
                self.coming[picture] = self.decoders.submit(self.data.images[picture], self.size, self.crop)

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        indices = [divmod(row, self.views) for row in rows.tolist()]
        self.prefetch([picture for picture, _ in indices])
        futures = {picture: self.coming.pop(picture) for picture in dict(indices)}
        return torch.stack([self._view(picture, view, futures[picture]) for picture, view in indices])

    def _view(self, picture: int, view: int, coming: Future[Squares]) -> Tensor:
        squares = self.decoders.result(coming, self.data.images[picture], self.size, self.crop)
        return torch.zeros(self.shape[1:], dtype=torch.uint8) if isinstance(squares, str) else torch.from_numpy(squares[view])


class StreamedPictures(DecodedOnDemand):
    """Pictures of shards that nobody has looked through: in the place of an unusable one comes the next usable one of its shard."""

    def __init__(self, data: CaptionedImages, images: ShardImages, size: int, crop: str, decoders: Decoders, max_bad: int) -> None:
        """max_bad: unusable pictures met that end the run."""
        super().__init__(data, size, crop, decoders)
        self.images, self.max_bad, self.ahead = images, max_bad, list[int]()
        self.bad: set[tuple[int, int]] = set()
        """(shard, place in it) of every unusable picture that was met."""
        self.places: OrderedDict[int, int] = OrderedDict()
        """Place in its shard of what was shown for a picture, of the last SHOWN ones."""

    def get_ahead(self, shards: list[int]) -> None:
        """Begin to get shards that will be asked for. What fails is told when they are."""
        if shards == self.ahead:
            return
        self.ahead = shards

        def get() -> None:
            with contextlib.suppress(Exception):
                for shard in shards:
                    self.images.members(shard)

        threading.Thread(target=get, daemon=True).start()

    def stand_in(self, picture: int) -> CaptionedImage:
        """The picture itself, or the one whose pixels are shown in its place."""
        if picture not in self.places:
            self._usable(picture, self.decoders.read([self.images[picture]], self.size, self.crop)[0])
        shard = bisect_right(self.images.first, picture) - 1
        return self.images.members(shard)[self.places[picture]]

    def _view(self, picture: int, view: int, coming: Future[Squares]) -> Tensor:
        squares = self.decoders.result(coming, self.images[picture], self.size, self.crop)
        return torch.from_numpy(self._usable(picture, squares)[view])

    def _usable(self, picture: int, squares: Squares) -> NDArray[np.uint8]:
        """squares: of the picture. Raises LdmError for more than max_bad unusable pictures, and for a shard without a usable one."""
        shard = bisect_right(self.images.first, picture) - 1
        members = self.images.members(shard)
        for further in range(len(members)):
            place = (picture - self.images.first[shard] + further) % len(members)
            if further and (shard, place) not in self.bad:
                squares = self.decoders.read([members[place]], self.size, self.crop)[0]
            if not isinstance(squares, str):
                self.places[picture] = place
                self.places.move_to_end(picture)
                if len(self.places) > SHOWN:
                    self.places.popitem(last=False)
                return squares
            self.bad.add((shard, place))
            if len(self.bad) > self.max_bad and further + 1 < len(members):
                raise LdmError(f"more than {counted(self.max_bad, 'unusable picture')} (--max-bad): {squares}")
        raise LdmError(f"{shown(self.images.shards[shard])} has no usable picture: {squares}")


class CountedRows:
    """The numbers from 0 to count - 1, as a Tensor of them would answer, without one."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, rows: slice | Tensor, /) -> Tensor:
        return torch.arange(*rows.indices(self.count)) if isinstance(rows, slice) else rows


Rows = Tensor | CountedRows


def rows_of(numbers: Sequence[int]) -> Rows:
    """Numbers of pictures, to be indexed by places; a range from 0 takes no memory."""
    return CountedRows(len(numbers)) if isinstance(numbers, range) else torch.tensor(numbers)


class ComputedOnDemand:
    """Several arrays of the same rows, computed together: `of(name)` is one of them. The last answer is kept for its siblings."""

    def __init__(self, count: int, compute: Callable[[Tensor], dict[str, Tensor]]) -> None:
        """compute: rows (B,) -> arrays (B, ...) by name; they are rounded to fp16, as in a cache."""
        self.count, self.compute = count, compute
        self.last: tuple[Tensor, dict[str, Tensor]] = (torch.empty(0), {})

    def of(self, name: str) -> "Column":
        """One of the arrays."""
        return Column(self, name)

    def rows(self, rows: Tensor) -> dict[str, Tensor]:
        """All arrays of these rows, on the CPU."""
        if not torch.equal(self.last[0], rows):
            self.last = rows.clone(), {name: value.half().cpu() for name, value in self.compute(rows).items()}
        return self.last[1]


class Column:
    """One array of ComputedOnDemand."""

    def __init__(self, source: ComputedOnDemand, name: str) -> None:
        self.source, self.name = source, name
        self.shape = torch.Size((source.count, *source.rows(torch.zeros(1, dtype=torch.int64))[name].shape[1:]))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        return self.source.rows(rows)[self.name]


def draw_views(rows: Tensor, views: int, generator: torch.Generator) -> Tensor:
    """One of the `views` rows that belong to each picture, uniformly; with one view nothing is drawn. rows: (B,) pictures. Returns (B,)."""
    if views == 1:
        return rows
    return rows * views + torch.randint(views, (len(rows),), generator=generator)


def flip_some(pictures: Tensor, flipped: Tensor) -> Tensor:
    """Mirror left and right where `flipped`. pictures: (B, C, H, W); flipped: (B,) bool."""
    return torch.where(flipped[:, None, None, None], pictures.flip(-1), pictures)
