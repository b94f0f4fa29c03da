"""The rows of a .npy file, written by several processes at once."""

import os
from pathlib import Path
from typing import Any

import numpy as np


class NpyRows:
    """The rows of one .npy file that others write to as well. Not mapped into memory: on a shared disk of several machines a map
    writes whole pages, its neighbours' rows among them."""

    def __init__(self, path: Path) -> None:
        like = np.load(path, mmap_mode="r")
        assert isinstance(like, np.memmap)
        self.dtype, self.start, self.stride = like.dtype, like.offset, like.strides[0]
        self._file = path.open("r+b", buffering=0)

    def write(self, first: int, rows: np.ndarray[Any, Any]) -> None:
        """rows: (n, ...) at first..first+n."""
        self._file.seek(self.start + first * self.stride)
        left = memoryview(rows.astype(self.dtype).tobytes())
        while left:
            left = left[self._file.write(left) :]

    def flush(self) -> None:
        """Until what was written is on disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Nothing is written afterwards."""
        self._file.close()
