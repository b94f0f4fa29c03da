"""Arrays seen as rows of another number or length than they hold."""

import torch
from torch import Tensor

from ldmcli.data.row_sources import RowSource


class Repeated:
    """Rows of distinct pictures, seen as those of a list that names some of them more than once."""

    def __init__(self, rows: RowSource, places: Tensor, each: int) -> None:
        """rows: (U * each, ...), `each` for a picture; places: (N,) int64, which of the U pictures stands where in the list."""
        self.rows, self.places, self.each = rows, places, each
        self.shape = torch.Size((len(places) * each, *rows.shape[1:]))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        return self.rows[self.places[rows // self.each] * self.each + rows % self.each]


class Ragged:
    """Rows of unlike length in one array, seen as (M, L, D) with zeros behind the end of each."""

    def __init__(self, values: Tensor, lengths: Tensor, longest: int) -> None:
        """values: (T, D), the rows one after the other; lengths: (M,) int64, T in all; longest: L."""
        self.values, self.lengths = values, lengths
        self.first = lengths.cumsum(0) - lengths
        self.shape = torch.Size((len(lengths), longest, values.shape[1]))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Tensor, /) -> Tensor:
        places = torch.arange(self.shape[1])
        inside = places < self.lengths[rows, None]  # (B, L)
        padded = self.values.new_zeros(len(rows), *self.shape[1:])
        padded[inside] = self.values[(self.first[rows, None] + places)[inside]]
        return padded
