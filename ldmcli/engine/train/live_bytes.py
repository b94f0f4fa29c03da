"""How many bytes of tensors a piece of work has alive at once, counted on the way: nothing that the system does is in it."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_bytes(work: Callable[[], object]) -> int:
    """The most that tensors made by `work` take at one time; what was there before is not counted, nor what lives within one operation."""
    with _Counting() as count:
        work()
    return count.most


class _Counting(TorchDispatchMode):
    """Sees the result of every operation, and is told when its memory is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: set[int] = set()
        """Addresses of what is counted or was there before."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for given in self._storages((args, kwargs)):
            self.known.add(given.data_ptr())
        results = func(*args, **(kwargs or {}))
        for made in self._storages(results):
            if made.data_ptr() not in self.known and made.nbytes():
                self.known.add(made.data_ptr())
                self.now += made.nbytes()
                weakref.finalize(made, self._freed, made.data_ptr(), made.nbytes())
        self.most = max(self.most, self.now)
        return results

    def _freed(self, address: int, size: int) -> None:
        self.known.discard(address)
        self.now -= size

    @staticmethod
    def _storages(values: Any) -> list[torch.UntypedStorage]:
        return [leaf.untyped_storage() for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
