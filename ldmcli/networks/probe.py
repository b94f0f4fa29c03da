"""Looking into a U-Net while it runs: cross-attention maps and the sizes of what flows through it. Changes no number of it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from ldmcli.networks.attention import Attention, SpatialTransformer, TextContext, TransformerBlock
from ldmcli.networks.unet import UNet

# B pictures, H heads, h w size of a layer's feature map, N = h*w, L text tokens, d width of a head

SeeMap = Callable[[str, Tensor], None]
"""(name of the layer, weights (B, H, h, w, L) float32). Over L they sum to one: how much each pixel takes from each token."""


@torch.no_grad()
def attention_weights(layer: Attention, x: Tensor, context: TextContext) -> Tensor:
    """softmax(Q K^T / sqrt(d)) written out (Vaswani et al. 2017, eq. 1), which the layer's fused kernel never shows.

    x: (B, N, C), the layer's input. Returns (B, H, N, L) float32.
    """
    q, (k, _) = layer.split(layer.to_q(x)).float(), context.keys_values(layer)
    scores = q @ k.float().transpose(-2, -1) * q.shape[-1] ** -0.5
    if context.mask is not None:
        scores = scores.masked_fill(~context.mask[:, None, None, :], -torch.inf)
    return scores.softmax(dim=-1)


@contextmanager
def record_cross_attention(unet: UNet, see: SeeMap) -> Iterator[None]:
    """While the context lasts, `see` is handed the map of every cross-attention layer at every call, in the order of the network.

    The network goes on through its own kernels: the maps are worked out beside it, so its answers stay what they were, bit for bit.
    """
    with ExitStack() as hooks:
        for name, transformer in unet.named_modules():
            if not isinstance(transformer, SpatialTransformer):
                continue
            size: list[int] = []
            hooks.callback(transformer.register_forward_pre_hook(partial(_keep_size, size)).remove)
            for number, block in enumerate(cast(Iterable[TransformerBlock], transformer.transformer_blocks)):
                hook = partial(_hand_over, see, f"{name}.transformer_blocks.{number}.attn2", size)
                hooks.callback(block.attn2.register_forward_hook(hook).remove)
        yield


@contextmanager
def record_shapes(network: nn.Module, see: Callable[[str, tuple[int, ...]], None]) -> Iterator[None]:
    """While the context lasts, `see` is handed the name and the output's shape of every direct part of the network that makes a tensor."""

    def hand_over(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple) else output
        see(name, tuple(first.shape))

    with ExitStack() as hooks:
        for name, part in network.named_children():
            for number, module in enumerate(part) if isinstance(part, nn.ModuleList) else [(None, part)]:
                hook = partial(hand_over, name if number is None else f"{name}.{number}")
                hooks.callback(module.register_forward_hook(hook).remove)
        yield


def _keep_size(size: list[int], module: nn.Module, inputs: tuple[Tensor, TextContext]) -> None:
    size[:] = inputs[0].shape[-2:]


def _hand_over(see: SeeMap, name: str, size: list[int], layer: Attention, inputs: tuple[Tensor, TextContext], output: Tensor) -> None:
    see(name, attention_weights(layer, *inputs).unflatten(2, size))
