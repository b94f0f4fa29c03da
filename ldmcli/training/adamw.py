"""AdamW, fused, for weights that lie in memory channels last."""

from typing import Any

import torch
from torch import Tensor

from ldmcli.training.shards import own


class AdamW(torch.optim.AdamW):
    """The same numbers, bit for bit (Loshchilov & Hutter 2019, algorithm 2).

    On the CPU torch's fused kernel wants plain order: it copies every channels-last gradient and value there and back, which took most of
    its time (torch 2.13). It is handed views of the same memory in which their order is the plain one, and of what is shared out over
    processes each one's own piece.
    """

    def _init_group(self, group: dict[str, Any], params: list[Tensor], *others: list[Tensor]) -> Any:  # type: ignore[override]
        has_complex = super()._init_group(group, params, *others)
        if group["fused"]:
            for values in (params, *others[:3]):  # parameters, gradients, means, squares
                values[:] = [own(value) for value in values]
            channels_last = [value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last) for value in params]
            grads, means, squares, *_ = others
            for values in (params, grads, means, squares):
                values[:] = [value.permute(0, 2, 3, 1) if last else value for value, last in zip(values, channels_last, strict=True)]
            grads[:] = [grad.contiguous() for grad in grads]  # the kernel would mix up the elements of one in another order
        return has_complex
