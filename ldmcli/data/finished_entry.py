"""Entries of a cache as they are read: whole and of the right shape, or not at all."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ldmcli.data.process_group import NOT_SHARED, ProcessGroup
from ldmcli.errors import LdmError
from ldmcli.readers.json_text import DATA_BYTES, read_json
from ldmcli.readers.tables import CACHE_ENTRY

ARRAYS = "arrays"
"""Key of entry.json beside the facts: shapes and types of the arrays."""
DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, LdmError)
"""What a file of an entry that was cut short or changed raises when it is read."""


@dataclass(frozen=True)
class Entry:
    """A finished entry: memory-mapped arrays by name, and the facts that were noted when it was made."""

    arrays: dict[str, Tensor]
    facts: dict[str, Any]


def open_entry(folder: Path, fits: Callable[[Entry], bool] = lambda entry: True) -> Entry | None:
    """The entry, or None if it was never finished or is damaged. fits: whether it holds what it should."""
    try:
        facts = read_json(folder / "entry.json", CACHE_ENTRY, most=DATA_BYTES)
        arrays = {path.stem: mapped_array(path, "c") for path in sorted(folder.glob("*.npy"))}
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


def mapped_array(path: Path, mode: Literal["r", "c"]) -> Any:
    """The array of a .npy file, mapped into memory. Raises ValueError or OSError for a damaged one, and for what is no plain file."""
    if not path.is_file():  # a FIFO would be waited for
        raise FileNotFoundError(path)
    try:
        return np.lib.format.open_memmap(path, mode)
    except OSError:
        raise
    except Exception as error:  # numpy evaluates a header that others have written, which can fail in any way
        raise ValueError(f"{path.name} is damaged") from error
