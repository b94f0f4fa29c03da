"""How far a mean or a median could be off: the percentile bootstrap (Efron & Tibshirani 1993, ch. 13)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

RESAMPLES = 2000


def bootstrap_interval(
    values: Sequence[float] | Tensor, statistic: Literal["mean", "median"] = "mean", level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """(low, high) between which the statistic lies with probability `level`, by drawing the values again with replacement.

    values: (N,) with N >= 1; the same values and seed give the same interval.
    """
    sample = torch.as_tensor(values, dtype=torch.float64).cpu()
    generator = torch.Generator().manual_seed(seed)
    # one resample at a time: all at once would hold RESAMPLES x N numbers
    statistics = torch.stack(
        [_of(sample[torch.randint(len(sample), (len(sample),), generator=generator)], statistic) for _ in range(RESAMPLES)]
    )
    low, high = statistics.quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)).tolist()
    return low, high


def _of(values: Tensor, statistic: str) -> Tensor:
    # torch.median takes the lower of two middle values; the quantile lies between them
    return values.mean() if statistic == "mean" else values.quantile(0.5)
