"""Latents with mean zero, without telling anyone: the mean goes into two biases, so every reader of the files has it."""

from collections.abc import Mapping

import torch
from torch import Tensor


@torch.no_grad()
def centre_latents(weights: Mapping[str, Tensor], mean: Tensor) -> dict[str, Tensor]:
    """An autoencoder whose latents are z - mean and that decodes them to the same pictures. mean: (C,), that of its latents.

    quant_conv answers (mean, logvar), so its first C biases are those of the mean; the decoder begins with the 1 x 1 convolution
    post_quant_conv, and W (z - mean) + (b + W mean) = W z + b. diffusers' `shift_factor` would do the same, but not every tool reads it.
    """
    moved = dict(weights)
    shift = mean.to(weights["quant_conv.bias"])
    moved["quant_conv.bias"] = weights["quant_conv.bias"] - torch.cat([shift, torch.zeros_like(shift)])
    moved["post_quant_conv.bias"] = weights["post_quant_conv.bias"] + weights["post_quant_conv.weight"].flatten(1) @ shift
    return moved
