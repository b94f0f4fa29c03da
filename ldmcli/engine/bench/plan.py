"""Which configurations a `bench` command asks for. Imports no torch: a value that cannot be is refused before."""

import itertools
from typing import Any

from ldmcli.config.generation import GenerateConfig
from ldmcli.config.measuring import BenchConfig
from ldmcli.engine.jobs import changed


def plan_cells(config: BenchConfig) -> list[GenerateConfig]:
    """Every combination as the `generate` command it stands for, the last axis turning fastest. Raises UsageError."""
    axes: dict[str, tuple[Any, ...]] = {
        "dtype": config.dtypes,
        "size": config.sizes or (None,),
        "scheduler": config.schedulers or (None,),
        "steps": config.steps or (None,),
        "batch_size": config.batch_sizes,
    }
    cells = []
    for values in itertools.product(*axes.values()):
        cell = dict(zip(axes, values, strict=True))
        width, height = cell.pop("size") or (None, None)
        cells.append(changed(config.drawing, {**cell, "width": width, "height": height}))
    return list(dict.fromkeys(cells))
