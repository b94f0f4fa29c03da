"""The conditional U-Net (Ho et al. 2020, app. B; Rombach et al. 2022, sec. 3.3): noisy latents, time and text to a prediction."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ldmcli.networks.attention import SpatialTransformer, TextContext
from ldmcli.networks.configs import UNetConfig
from ldmcli.networks.group_norm import GroupNorm
from ldmcli.networks.layers import Downsample, ResnetBlock, TimestepEmbedding, Upsample, sinusoidal_embedding

# B pictures, C latent channels, h w latent size, T width of the time embedding


class Level(nn.Module):
    """ResNet blocks at one resolution, each followed by a text transformer where the level has them."""

    def __init__(
        self, config: UNetConfig, sizes: list[tuple[int, int]], heads: int | None, *, down: bool = False, up: bool = False
    ) -> None:
        super().__init__()
        width = sizes[-1][1]
        time_width = 4 * config.block_out_channels[0]
        self.resnets = nn.ModuleList(
            [ResnetBlock(i, o, groups=config.norm_num_groups, eps=config.norm_eps, time_width=time_width) for i, o in sizes]
        )
        count = len(sizes) if heads else 0
        self.attentions = nn.ModuleList([text_transformer(config, width, heads or 1) for _ in range(count)])
        self.downsamplers = nn.ModuleList([Downsample(width, padding=1)] if down else [])
        self.upsamplers = nn.ModuleList([Upsample(width)] if up else [])


class DownLevel(Level):
    def forward(self, x: Tensor, time: Tensor, context: TextContext) -> tuple[Tensor, list[Tensor]]:
        """Returns the output and every feature map that a skip connection needs."""
        skips = []
        for i, resnet in enumerate(self.resnets):
            x = resnet(x, time)
            if self.attentions:
                x = self.attentions[i](x, context)
            skips.append(x)
        for downsampler in self.downsamplers:
            x = downsampler(x)
            skips.append(x)
        return x, skips


class UpLevel(Level):
    def forward(self, x: Tensor, skips: list[Tensor], time: Tensor, context: TextContext) -> Tensor:
        """Takes its skips off the end of `skips`."""
        for i, resnet in enumerate(self.resnets):
            x = resnet(torch.cat([x, skips.pop()], dim=1), time)
            if self.attentions:
                x = self.attentions[i](x, context)
        for upsampler in self.upsamplers:
            # An odd side was rounded up on the way down; the next skip knows the true size.
            x = upsampler(x, skips[-1].shape[-2:])
        return x


class MidBlock(nn.Module):
    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        width, time_width = config.block_out_channels[-1], 4 * config.block_out_channels[0]
        self.attentions = nn.ModuleList([text_transformer(config, width, config.heads[-1])])
        self.resnets = nn.ModuleList(
            [ResnetBlock(width, width, groups=config.norm_num_groups, eps=config.norm_eps, time_width=time_width) for _ in range(2)]
        )

    def forward(self, x: Tensor, time: Tensor, context: TextContext) -> Tensor:
        """x: (B, C, h, w); time: (B, T). Returns (B, C, h, w)."""
        x = self.attentions[0](self.resnets[0](x, time), context)
        return self.resnets[1](x, time)


class UNet(nn.Module):
    """diffusers UNet2DConditionModel of the SD 1.x and 2.x families."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        self.recompute = False
        """Gradient checkpointing (Chen et al. 2016): keep only what enters each level and compute the rest again on the way back."""
        widths, depth, last = config.block_out_channels, config.layers_per_block, len(config.block_out_channels) - 1
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.time_embedding = TimestepEmbedding(widths[0], 4 * widths[0])
        self.down_blocks = nn.ModuleList()
        for level, (kind, width) in enumerate(zip(config.down_block_types, widths, strict=True)):
            sizes = [(widths[max(level - 1, 0)], width), *[(width, width)] * (depth - 1)]
            heads = config.heads[level] if kind.startswith("CrossAttn") else None
            self.down_blocks.append(DownLevel(config, sizes, heads, down=level < last))
        self.mid_block = MidBlock(config)
        self.up_blocks = nn.ModuleList()
        mirrored = widths[::-1]
        for level, (kind, width) in enumerate(zip(config.up_block_types, mirrored, strict=True)):
            below = mirrored[max(level - 1, 0)]
            skip_last = mirrored[min(level + 1, last)]
            inputs = [below, *[width] * depth]
            skips = [*[width] * depth, skip_last]
            sizes = [(i + s, width) for i, s in zip(inputs, skips, strict=True)]
            heads = config.heads[::-1][level] if kind.startswith("CrossAttn") else None
            self.up_blocks.append(UpLevel(config, sizes, heads, up=level < last))
        self.conv_norm_out = GroupNorm(config.norm_num_groups, widths[0], eps=config.norm_eps)
        self.conv_out = nn.Conv2d(widths[0], config.out_channels, 3, padding=1)

    def embed_time(self, timesteps: Tensor) -> Tensor:
        """timesteps: (B,) in 0..999, fractions allowed. Returns (B, T)."""
        config = self.config
        waves = sinusoidal_embedding(
            timesteps, config.block_out_channels[0], flip_sin_to_cos=config.flip_sin_to_cos, freq_shift=config.freq_shift
        )
        return self.time_embedding(waves.to(self.conv_in.weight.dtype))

    def forward(self, latents: Tensor, timesteps: Tensor, context: TextContext) -> Tensor:
        """latents: (B, C, h, w), scaled; timesteps: (B,). Returns the prediction (epsilon or v), (B, C, h, w)."""
        time = self.embed_time(timesteps)
        x = self.conv_in(2 * latents - 1 if self.config.center_input_sample else latents)
        skips = [x]
        for down in self.down_blocks:
            x, new = self._level(down, x, time, context)
            skips += new
        x = self._level(self.mid_block, x, time, context)
        for up in self.up_blocks:
            x = self._level(up, x, list(skips), time, context)
            del skips[-len(up.resnets) :]  # type: ignore[arg-type]
        return self.conv_out(F.silu(self.conv_norm_out(x)))

    def _level(self, level: nn.Module, *inputs: Any) -> Any:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(_recomputed, level, *inputs, use_reentrant=False, preserve_rng_state=False)
        return level(*inputs)


def _recomputed(level: nn.Module, *inputs: Any) -> Any:
    """Call a level with copies of its lists, which it empties."""
    return level(*(list(value) if isinstance(value, list) else value for value in inputs))


def text_transformer(config: UNetConfig, channels: int, heads: int) -> SpatialTransformer:
    """The attention block of one level, as the config describes it."""
    return SpatialTransformer(
        channels,
        heads,
        config.cross_attention_dim,
        depth=config.transformer_layers_per_block,
        groups=config.norm_num_groups,
        linear_projection=config.use_linear_projection,
        upcast=config.upcast_attention,
    )


def without_weights(unet: UNet) -> UNet:
    """What is known of a U-Net that has done its work: its config, and its first layer on the meta device. It cannot be called."""
    known = UNet.__new__(UNet)
    nn.Module.__init__(known)
    known.config = unet.config
    known.conv_in = nn.Conv2d(unet.config.in_channels, unet.config.block_out_channels[0], 3, dtype=unet.conv_in.weight.dtype, device="meta")
    return known
