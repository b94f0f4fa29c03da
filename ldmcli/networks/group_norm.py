"""Group normalisation whose backward pass on the CPU is not the slowest part of training."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# B pictures, C channels, G groups, h w feature-map size


class GroupNorm(nn.GroupNorm):
    """torch's own, but for gradients of channels-last feature maps on the CPU.

    There PyTorch's kernel goes through memory in the wrong order and took half of a VAE training step (torch 2.13).
    """

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, h, w)."""
        is_slow = x.device.type == "cpu" and x.requires_grad and x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
        if is_slow and not torch.compiler.is_compiling():
            normalised: Tensor = _ChannelsLast.apply(x, self.weight, self.bias, self.num_groups, self.eps)
            return normalised
        # not torch.nn.functional's, which refuses one picture of one value per group, and takes two of them
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps, torch.backends.cudnn.enabled)


class _ChannelsLast(torch.autograd.Function):
    """y = (x - mean) rstd weight + bias, with mean and rstd per picture and group (Wu & He 2018, eq. 1, 2).

    With g = weight dy, and averages over a group: dx = rstd (g - mean(g) - x_hat mean(g x_hat)), which is linear in dy and x,
    so that sums per channel are all that has to be kept. x, y, dy, dx: (B, C, h, w); weight, bias: (C,).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        pictures, channels, height, width = x.shape
        # One picture may have any stride over pictures, and the kernel takes some for another order of memory.
        x = x.permute(0, 2, 3, 1).flatten().view(pictures, height, width, channels).permute(0, 3, 1, 2)
        exact = torch.promote_types(x.dtype, torch.float32)  # else mean and rstd are as coarse as the weights
        y, mean, rstd = torch.native_group_norm(x, weight.to(exact), bias.to(exact), pictures, channels, height * width, groups, eps)
        ctx.save_for_backward(x, weight, mean, rstd)
        return y

    @staticmethod
    @once_differentiable  # mean and rstd are kept as constants
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:  # type: ignore[override]
        x, weight, mean, rstd = ctx.saved_tensors
        pictures, channels, height, width = x.shape
        groups = mean.shape[1]
        exact = torch.promote_types(x.dtype, torch.float32)
        rows, dy_rows = x.permute(0, 2, 3, 1).flatten(1, 2), dy.permute(0, 2, 3, 1).flatten(1, 2).to(exact)  # (B, h w, C)
        sum_dy, sum_dy_x = dy_rows.sum(1), (dy_rows * rows).sum(1)  # (B, C)
        mean, rstd = mean.to(exact).view(pictures, groups, 1), rstd.to(exact).view(pictures, groups, 1)
        sum_dy, sum_dy_x = sum_dy.view(pictures, groups, -1), sum_dy_x.view(pictures, groups, -1)
        sum_dy_hat = (sum_dy_x - mean * sum_dy) * rstd  # of dy x_hat
        scale = weight.to(exact).view(1, groups, -1)
        count = height * width * (channels // groups)
        mean_g, mean_g_hat = ((scale * total).sum(-1, keepdim=True) / count for total in (sum_dy, sum_dy_hat))  # (B, G, 1)
        slope = -(rstd * rstd * mean_g_hat).expand_as(sum_dy).reshape(pictures, 1, channels)
        level = (rstd * (rstd * mean * mean_g_hat - mean_g)).expand_as(sum_dy).reshape(pictures, 1, channels)
        dx = (dy_rows * (scale * rstd).reshape(pictures, 1, channels)).add_(level).add_(rows * slope).to(x.dtype)
        dx = dx.unflatten(1, (height, width)).permute(0, 3, 1, 2)
        return dx, sum_dy_hat.sum(0).flatten().to(weight.dtype), sum_dy.sum(0).flatten().to(weight.dtype), None, None
