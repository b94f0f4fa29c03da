"""Tensors of which each process holds a part (FSDP 2; Zhao et al. 2023): parameters, gradients, moments and averages of a network.

A tensor is cut along its first dimension, one piece for each process; torch has it as a DTensor. What is asked of the pieces alone costs
no word between processes; what needs all of a tensor says so, and then every process must ask for it.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def share_out(
    network: nn.Module, blocks: tuple[type[nn.Module], ...], device: torch.device, *, reshard: bool, half: tuple[type[nn.Module], ...] = ()
) -> None:
    """Leave each process its part of the network, on its device: block by block, so that no device ever holds all of it.

    A module of the kinds `blocks` is gathered at once when it computes; what is in none of them is gathered with the network itself.
    reshard: blocks are given up between the way there and back. half: the kinds, of blocks and network, that are gathered in bf16, and
    gradients summed in fp32. What computes in bf16 by autocast and is not of these leaves a copy in bf16 until the way back.
    """
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    group: Any = dist.group.WORLD
    mesh = DeviceMesh.from_group(group, device.type)
    for module in [*(module for module in network.modules() if isinstance(module, blocks)), network]:
        precision: dict[str, Any] = {"param_dtype": torch.bfloat16, "reduce_dtype": torch.float32} if isinstance(module, half) else {}
        policy = MixedPrecisionPolicy(**precision, cast_forward_inputs=False)  # autocast casts them where it should
        own_reshard = reshard and module is not network  # what the way back begins with
        fully_shard(module, mesh=mesh, reshard_after_forward=own_reshard, mp_policy=policy)


def is_shared_out(network: nn.Module) -> bool:
    """Whether each process holds a part of it."""
    return any(_is_cut(parameter) for parameter in network.parameters())


def own(tensor: Tensor) -> Tensor:
    """This process's piece, in the same memory; a tensor that is not cut is its own piece. Asked for every tensor at every step: torch's
    no_grad, which would take longer than all the rest, is the caller's."""
    piece: Tensor = tensor.to_local() if _is_cut(tensor) else tensor  # type: ignore[attr-defined]
    return piece


@torch.no_grad()
def fill(target: Tensor, source: Tensor) -> None:
    """Copy values. Into a tensor that is cut each process takes its piece of a whole source, or the same piece of one that is cut too."""
    if _is_cut(target) and not _is_cut(source):
        size = _piece_size(target)
        first = min(size * dist.get_rank(), len(source))
        source = source[first : first + size]
    own(target).copy_(own(source))


@torch.no_grad()
def gather(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of whole tensors in the memory of process 0, made one after the other; the others get none. All processes must call it."""
    whole = {}
    for name, value in tensors.items():
        full = _joined(value) if _is_cut(value) else value
        if full is not None and dist.get_rank() == 0:
            whole[name] = full.detach().to("cpu", copy=True)
    return whole


def _joined(value: Tensor) -> Tensor | None:
    """All of a tensor that is cut, in process 0; None in the others."""
    piece = own(value)
    padded = piece.new_zeros((_piece_size(value), *value.shape[1:]))
    padded[: len(piece)] = piece
    pieces = [torch.empty_like(padded) for _ in range(dist.get_world_size())] if dist.get_rank() == 0 else None
    dist.gather(padded, pieces)
    return None if pieces is None else torch.cat(pieces)[: len(value)]


def _piece_size(tensor: Tensor) -> int:
    """Rows of a piece, as torch.chunk cuts: the last pieces are shorter, or empty."""
    return -(-len(tensor) // dist.get_world_size())


def norm_of_all(norm: Tensor) -> Tensor:
    """The norm of a vector of which each process has a piece with this norm. All processes must call it."""
    norms = [torch.empty_like(norm) for _ in range(dist.get_world_size())]
    dist.all_gather(norms, norm)
    return torch.linalg.vector_norm(torch.stack(norms))


def _is_cut(tensor: Tensor) -> bool:
    return hasattr(tensor, "full_tensor")  # a DTensor, whose import takes long
