"""A linear layer that is as fast on every x86 processor as on Intel's.

In fp32 torch multiplies with MKL, which keeps to 256-bit instructions on processors that are not Intel's. oneDNN, which torch brings for
its convolutions, does not, and is about twice as fast there. Both round in fp32; the last bits differ.
"""

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

# N rows (pictures times tokens), I and O width of input and output

WORTH_IT = 2**21
"""Multiplications from which the product gains more than the way to oneDNN costs, some 15 microseconds."""


class Linear(nn.Linear):
    """nn.Linear: the same parameters, initial values and result."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., I). Returns (..., O)."""
        if _plain() and self._gains(x):
            if torch.is_grad_enabled():
                trained: Tensor = OneDNNLinear.apply(x, self.weight, self.bias)
                return trained
            return linear(x, self.weight, self.bias)
        return F.linear(x, self.weight, self.bias)

    def _gains(self, x: Tensor) -> bool:
        ours = x.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32
        return ours and x.numel() * self.out_features >= WORTH_IT and onednn_is_faster()


class OneDNNLinear(torch.autograd.Function):
    """F.linear of fp32 tensors on the CPU, all three of its matrix products by oneDNN."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """x: (..., I); weight: (O, I); bias: (O,). Returns (..., O)."""
        ctx.save_for_backward(x, weight)
        return linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # type: ignore[override]
        """grad: (..., O). Returns the gradients of x, weight and bias."""
        x, weight = ctx.saved_tensors
        rows = grad.reshape(-1, grad.shape[-1])
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            times_transposed(rows, weight.t()).view_as(x) if of_x else None,
            times_transposed(rows.t(), x.reshape(-1, x.shape[-1]).t()) if of_weight else None,
            rows.sum(0) if of_bias else None,
        )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """F.linear by oneDNN, without gradients. x: (..., I); weight: (O, I); bias: (O,). Returns (..., O)."""
    return times_transposed(x.reshape(-1, x.shape[-1]), weight, bias).view(*x.shape[:-1], len(weight))


def times_transposed(a: Tensor, b: Tensor, added: Tensor | None = None) -> Tensor:
    """a b^T + added. a: (N, I); b: (O, I); added: (O,). Any strides. Returns (N, O)."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a, b, added, "none", [], "")
    return product


def _plain() -> bool:
    """Whether nobody wants to choose the precision or the kernel: neither autocast nor an export nor torch.compile, which comes first."""
    return not (torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.is_autocast_enabled("cpu"))  # type: ignore[attr-defined]


@functools.cache
def onednn_is_faster() -> bool:
    """Whether this is an x86 processor with 512-bit instructions that MKL does not use.

    Told from its maker and not by a measurement: a run that is resumed has to choose the same again, to the last bit.
    """
    has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    available = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    if not (available and has.get("avx512_f") and torch.backends.mkl.is_available()):
        return False
    try:
        return "GenuineIntel" not in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
