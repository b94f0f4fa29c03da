"""Entries of a cache as they are read: whole and of the right shape, or not at all."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ldmcli.data.process_group import NOT_SHARED, ProcessGroup
from ldmcli.errors import LdmError

ARRAYS = "arrays"
"""Key of entry.json beside the facts: shapes and types of the arrays."""
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RecursionError, OverflowError, TokenError)
"""What a file of an entry that was cut short or changed raises when it is read."""


@dataclass(frozen=True)
class Entry:
    """A finished entry: memory-mapped arrays by name, and the facts that were noted when it was made."""

    arrays: dict[str, Tensor]
    facts: dict[str, Any]


def open_entry(folder: Path, fits: Callable[[Entry], bool] = lambda entry: True) -> Entry | None:
    """The entry, or None if it was never finished or is damaged. fits: whether it holds what it should."""
    try:
        facts = json.loads(_regular(folder / "entry.json").read_text(encoding="utf-8"))
        arrays = {path.stem: np.load(_regular(path), mmap_mode="c") for path in sorted(folder.glob("*.npy"))}
        entry = Entry({name: torch.from_numpy(array) for name, array in arrays.items()}, facts)
        noted = facts.pop(ARRAYS, None)  # which entries of older versions do not have
        if arrays and noted in (None, _shapes(arrays)) and fits(entry):
            return entry
    except DAMAGE:
        pass
    return None


def open_shared_entry(process_group: ProcessGroup, folder: Path, fits: Callable[[Entry], bool]) -> Entry | None:
    """The entry for every process, if the first one finds it. Raises LdmError when the others do not see the same folder."""
    entry = open_entry(folder, fits) if process_group.index == 0 else None
    if not process_group.gather(entry is not None)[0]:
        return None
    entry = entry or open_entry(folder, fits)
    if entry is None:
        raise LdmError(f"{folder} is not there.", hint=NOT_SHARED)
    return entry


def _shapes(arrays: dict[str, Any]) -> dict[str, Any]:
    """Of numpy arrays, as JSON has them."""
    return {name: [list(array.shape), array.dtype.name] for name, array in arrays.items()}


def _regular(path: Path) -> Path:
    """The same path. Raises OSError unless it is a plain file: a FIFO would be waited for."""
    if not path.is_file():
        raise FileNotFoundError(path)
    return path
