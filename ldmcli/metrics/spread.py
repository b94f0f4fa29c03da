"""Repeated timings in a few numbers."""

import statistics
from collections.abc import Sequence

from ldmcli.records.costs import Spread


def spread(seconds: Sequence[float]) -> Spread:
    """Of one or more runs. The median, because one run that was disturbed does not move it; stddev is 0 for a single run."""
    times = list(seconds)
    return Spread(
        median=statistics.median(times),
        mean=statistics.fmean(times),
        stddev=statistics.stdev(times) if len(times) > 1 else 0.0,
        min=min(times),
        max=max(times),
        times=times,
    )
