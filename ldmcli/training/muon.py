"""Muon for the matrices of a network, AdamW for all else, as one optimizer."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from ldmcli.training.adamw import AdamW
from ldmcli.training.shapes import ADAM, MUON, Names

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic by which singular values come near 1 fastest."""
STEPS = 5
EPSILON = 1e-7
SMALLEST_SIDE = 16
"""Of a matrix. One with fewer rows or columns (what makes a picture of channels, an adapter of low rank) has little to orthogonalize."""


class Muon(AdamW):
    """The step of a matrix is its momentum with all singular values brought near 1 (Jordan et al. 2024, "Muon"), as long as AdamW's would
    be (Liu et al. 2025, "Muon is scalable for LLM training", eq. 4), so that one learning rate serves both.

    The numbers are those of torch.optim.Muon with adjust_lr_fn="match_rms_adamw". That one takes matrices alone, one after the other;
    here a convolution is one too, of a row for each output channel, and those of one shape are multiplied together.
    """

    def __init__(self, params: Any, embeddings: Iterable[Tensor] = (), **options: Any) -> None:
        """embeddings: tables, whose rows have nothing to do with each other; AdamW moves them. options: those of AdamW."""
        super().__init__(params, **options)
        self._step_supports_amp_scaling = False  # a scaler is to leave out a step that overflowed, not to hand it on
        tables = {id(table) for table in embeddings}
        every = (parameter for group in self.param_groups for parameter in group["params"])
        self._matrices = {id(parameter) for parameter in every if is_matrix(parameter) and id(parameter) not in tables}

    def __setstate__(self, state: dict[str, Any]) -> None:
        torch.optim.Optimizer.__setstate__(self, state)  # Adam's brings old pickles up to date, and wants its moments of all parameters

    def moves(self, parameter: Tensor) -> bool:
        """Whether a parameter is moved by Muon, not by AdamW."""
        return id(parameter) in self._matrices

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of both."""
        groups = self.param_groups
        try:
            self.param_groups = [{**group, "params": [p for p in group["params"] if not self.moves(p)]} for group in groups]
            loss = super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            self._move(group, [p for p in group["params"] if self.moves(p) and p.grad is not None])
        return loss

    def _move(self, group: dict[str, Any], matrices: list[Tensor]) -> None:
        alike: dict[tuple[int, int], list[Tensor]] = {}
        for matrix in matrices:
            alike.setdefault((len(matrix), matrix[0].numel()), []).append(matrix)
        for (rows, columns), same in alike.items():
            steps = orthogonalize(torch.stack([as_matrix(self._towards(matrix)) for matrix in same]))
            for matrix, step in zip(same, steps, strict=True):
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(as_weight(step, matrix), alpha=-group["lr"] * 0.2 * math.sqrt(max(rows, columns)))

    def _towards(self, matrix: Tensor) -> Tensor:
        """The momentum, this gradient in it, and one step ahead (Nesterov)."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        momentum: Tensor = state["momentum_buffer"].lerp_(matrix.grad, 1 - MOMENTUM)
        return matrix.grad.lerp(momentum, MOMENTUM)


def remembered(optimizer: torch.optim.Optimizer, parameter: Tensor) -> Names:
    """The names of what a trainer's optimizer remembers of a parameter, once it has moved it."""
    return MUON if isinstance(optimizer, Muon) and optimizer.moves(parameter) else ADAM


def is_matrix(parameter: Tensor) -> bool:
    """Whether it maps many channels to many."""
    return parameter.dim() in (2, 4) and min(len(parameter), parameter[0].numel()) >= SMALLEST_SIDE


def as_matrix(weight: Tensor) -> Tensor:
    """(out, in) as it is; (out, in, h, w) to (out, h*w*in), the order in which channels-last weights lie in memory."""
    return weight if weight.dim() == 2 else weight.permute(0, 2, 3, 1).flatten(1)


def as_weight(matrix: Tensor, weight: Tensor) -> Tensor:
    """The other way, to the shape and type of a weight."""
    if weight.dim() == 4:
        out, channels, height, width = weight.shape
        matrix = matrix.view(out, height, width, channels).permute(0, 3, 1, 2)
    return matrix.to(weight.dtype)


def orthogonalize(matrices: Tensor) -> Tensor:
    """(B, rows, columns) to as many in bf16 with the same singular vectors and singular values from about 0.7 to 1.2.

    Newton-Schulz iteration (Jordan et al. 2024), in bf16 as there: what it rounds is less than what it leaves apart.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    found = (matrices.mT if tall else matrices).bfloat16()
    found = found / found.flatten(1).norm(dim=1).clamp(min=EPSILON)[:, None, None]  # no singular value above 1
    for _ in range(STEPS):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found.mT if tall else found
