"""Values that come in clusters (five captions of one picture, four pictures of one prompt), made ready for the bootstrap."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor


def cluster_values(values: Tensor, clusters: Sequence[Hashable]) -> Tensor:
    """One value per cluster whose mean is the mean of all values and whose spread is that of the clusters.

    values: (N,); clusters: N names. Returns (K,), the linearised ratio estimator (Cochran 1977, sec. 6.4): values of one cluster say
    the same thing again, and drawing them one by one would make the interval too narrow.
    """
    number = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    rows = torch.tensor([number[name] for name in clusters])
    mean = values.double().mean()
    apart = torch.zeros(len(number), dtype=torch.float64).index_add_(0, rows, values.double() - mean)
    return mean + apart * len(number) / len(values)
