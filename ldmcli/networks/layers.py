"""Layers that the VAE and the U-Net share. Module names are diffusers', so that state dicts are interchangeable."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldmcli.networks.group_norm import GroupNorm
from ldmcli.networks.linear import Linear

# B pictures, C channels, h w feature-map size, T width of the time embedding


def sinusoidal_embedding(timesteps: Tensor, width: int, *, flip_sin_to_cos: bool = True, freq_shift: float = 0) -> Tensor:
    """Sinusoidal position embedding of timesteps (Vaswani et al. 2017, sec. 3.5; Ho et al. 2020, app. B).

    timesteps: (B,) int or float. Returns (B, width) float32, cosines first when `flip_sin_to_cos`.
    """
    half = width // 2
    exponent = -math.log(10000) * torch.arange(half, dtype=torch.float32, device=timesteps.device) / (half - freq_shift)
    angles = timesteps[:, None].float() * exponent.exp()[None, :]
    parts = [angles.cos(), angles.sin()] if flip_sin_to_cos else [angles.sin(), angles.cos()]
    embedding = torch.cat(parts, dim=-1)
    return F.pad(embedding, (0, width % 2))


class TimestepEmbedding(nn.Module):
    """Two linear layers with SiLU between: (B, width) -> (B, T)."""

    def __init__(self, width: int, time_width: int) -> None:
        super().__init__()
        self.linear_1 = Linear(width, time_width)
        self.linear_2 = Linear(time_width, time_width)

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, width) -> (B, T)."""
        return self.linear_2(F.silu(self.linear_1(embedding)))


class ResnetBlock(nn.Module):
    """Norm, SiLU, conv, twice, with the time embedding added in between (Ho et al. 2020, app. B)."""

    def __init__(self, in_channels: int, out_channels: int, *, groups: int, eps: float, time_width: int | None = None) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, in_channels, eps=eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = Linear(time_width, out_channels) if time_width else None
        self.norm2 = GroupNorm(groups, out_channels, eps=eps)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """x: (B, C_in, h, w); time: (B, T) or None. Returns (B, C_out, h, w)."""
        h = self.conv1(F.silu(self.norm1(x)))
        if self.time_emb_proj is not None and time is not None:
            h = h + self.time_emb_proj(F.silu(time))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Downsample(nn.Module):
    """Strided 3x3 convolution: (B, C, h, w) -> (B, C, h/2, w/2).

    padding 0 is the VAE's: one column and row of zeros at the right and bottom only, as in the original TensorFlow code.
    """

    def __init__(self, channels: int, *, padding: int) -> None:
        super().__init__()
        self.padding = padding
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h/2, w/2)."""
        return self.conv(x if self.padding else F.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Nearest-neighbour doubling (or to `size`), then a 3x3 convolution: (B, C, h, w) -> (B, C, 2h, 2w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: torch.Size | None = None) -> Tensor:
        """size: (h, w) to reach when the skip connection has an odd side; None doubles."""
        return self.conv(doubled(x, size))


def doubled(x: Tensor, size: torch.Size | None = None) -> Tensor:
    """Every value four times, (B, C, h, w) -> (B, C, 2h, 2w), or cut to `size`, at most one row and one column less.

    Compiled (torch 2.13, CPU, bf16), `interpolate` sends back a gradient of zero behind a 1x1 convolution or a ResNet block: nothing below
    it ever learns. Copies by `expand` are the same values with the right gradient.
    """
    height, width = tuple(size) if size is not None else (2 * x.shape[-2], 2 * x.shape[-1])
    if torch.compiler.is_compiling() and torch.is_grad_enabled():
        copies = x[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2)
        return copies.flatten(4, 5).flatten(2, 3)[:, :, :height, :width]
    return F.interpolate(x, size=(height, width), mode="nearest")
