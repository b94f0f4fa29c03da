"""Weights that stay in their file: each mapped into memory by itself, read when it is used, and out of memory when it is let go.

A tensor that nobody holds any more is unmapped, whatever else of its file is in use. One that is let go keeps its place: its pages count
for this process again when it is next used, and until then are the system's, which keeps them as long as there is memory.
"""

import mmap
from math import prod
from typing import BinaryIO
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from ldmcli.errors import LdmError

SMALLEST = 2**20
"""Bytes from which a tensor is mapped. What is smaller is read: it would share its pages with others."""

_mappings: WeakValueDictionary[int, mmap.mmap] = WeakValueDictionary()
"""By the address of their tensor's storage, as long as there is one."""


def tensor_of_file(file: BinaryIO, first: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """The tensor whose values begin at byte `first`. What is written to it is not written to the file, and lost when it is let go."""
    size = prod(shape) * dtype.itemsize
    if size < SMALLEST:
        file.seek(first)
        return torch.frombuffer(bytearray(file.read(size)), dtype=dtype).view(shape) if size else torch.empty(shape, dtype=dtype)
    before = first % mmap.ALLOCATIONGRANULARITY
    try:
        mapping = mmap.mmap(file.fileno(), before + size, access=mmap.ACCESS_COPY, offset=first - before)
    except (OSError, ValueError) as error:  # a file system without it, or a file that was cut short meanwhile
        raise LdmError(f"{file.name} cannot be mapped into memory: {error}") from error
    tensor = torch.frombuffer(mapping, dtype=dtype, offset=before, count=prod(shape)).view(shape)
    _mappings[tensor.untyped_storage().data_ptr()] = mapping
    return tensor


def stays_in_file(tensor: Tensor) -> bool:
    """Whether it is, or is a part of, a mapped one."""
    return tensor.untyped_storage().data_ptr() in _mappings if tensor.layout == torch.strided else False


def let_go(tensor: Tensor) -> None:
    """Take the pages of a mapped tensor out of this process's memory, where the system can. Any other is left alone."""
    if stays_in_file(tensor) and hasattr(mmap, "MADV_DONTNEED"):
        _mappings[tensor.untyped_storage().data_ptr()].madvise(mmap.MADV_DONTNEED)
