"""The autoencoder (Rombach et al. 2022, sec. 3.1): pictures to latents of an eighth of the side, and back."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from ldmcli.networks.attention import Attention, TextContext
from ldmcli.networks.configs import VAEConfig
from ldmcli.networks.group_norm import GroupNorm
from ldmcli.networks.layers import Downsample, ResnetBlock, Upsample

# B pictures, C channels, H W picture size, h w latent size (H/8, W/8 for Stable Diffusion)

EPS = 1e-6


@dataclass(frozen=True)
class Posterior:
    """q(z | picture) = N(mean, exp(logvar)). mean, logvar: (B, C, h, w), unscaled."""

    mean: Tensor
    logvar: Tensor

    @property
    def std(self) -> Tensor:
        """(B, C, h, w)."""
        return (0.5 * self.logvar).exp()

    def sample(self, noise: Tensor) -> Tensor:
        """noise: standard normal of the mean's shape."""
        return self.mean + self.std * noise


class MidAttention(Attention):
    """One-head self-attention over the pixels of the innermost feature map."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(channels, heads=1, qkv_bias=True)
        self.group_norm = GroupNorm(groups, channels, eps=EPS)

    def forward(self, x: Tensor, context: TextContext | None = None) -> Tensor:
        """x: (B, C, h, w). Returns the same shape."""
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)
        return x + super().forward(tokens).transpose(1, 2).unflatten(2, tuple(x.shape[-2:]))


class MidBlock(nn.Module):
    def __init__(self, channels: int, groups: int, attention: bool) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([MidAttention(channels, groups)] if attention else [])
        self.resnets = nn.ModuleList([ResnetBlock(channels, channels, groups=groups, eps=EPS) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        x = self.resnets[0](x)
        for attention in self.attentions:
            x = attention(x)
        return self.resnets[1](x)


class Stage(nn.Module):
    """ResNet blocks at one resolution, then the change to the next. The unused sampler list has no parameters."""

    def __init__(self, sizes: list[tuple[int, int]], groups: int, *, down: bool = False, up: bool = False) -> None:
        super().__init__()
        self.resnets = nn.ModuleList([ResnetBlock(i, o, groups=groups, eps=EPS) for i, o in sizes])
        channels = sizes[-1][1]
        self.downsamplers = nn.ModuleList([Downsample(channels, padding=0)] if down else [])
        self.upsamplers = nn.ModuleList([Upsample(channels)] if up else [])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the resolution and width of the next stage."""
        for layer in (*self.resnets, *self.downsamplers, *self.upsamplers):
            x = layer(x)
        return x


class Encoder(nn.Module):
    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        channels, groups, depth = config.block_out_channels, config.norm_num_groups, config.layers_per_block
        self.conv_in = nn.Conv2d(config.in_channels, channels[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        for level, width in enumerate(channels):
            sizes = [(channels[max(level - 1, 0)], width), *[(width, width)] * (depth - 1)]
            self.down_blocks.append(Stage(sizes, groups, down=level < len(channels) - 1))
        self.mid_block = MidBlock(channels[-1], groups, config.mid_block_add_attention)
        self.conv_norm_out = GroupNorm(groups, channels[-1], eps=EPS)
        self.conv_out = nn.Conv2d(channels[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 2C, h, w)."""
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        channels, groups, depth = config.block_out_channels[::-1], config.norm_num_groups, config.layers_per_block + 1
        self.conv_in = nn.Conv2d(config.latent_channels, channels[0], 3, padding=1)
        self.mid_block = MidBlock(channels[0], groups, config.mid_block_add_attention)
        self.up_blocks = nn.ModuleList()
        for level, width in enumerate(channels):
            sizes = [(channels[max(level - 1, 0)], width), *[(width, width)] * (depth - 1)]
            self.up_blocks.append(Stage(sizes, groups, up=level < len(channels) - 1))
        self.conv_norm_out = GroupNorm(groups, channels[-1], eps=EPS)
        self.conv_out = nn.Conv2d(channels[-1], config.out_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 3, H, W)."""
        x = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class VAE(nn.Module):
    """diffusers AutoencoderKL. Knows nothing of the scaling factor: that is the codec's business."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        c = config.latent_channels
        self.quant_conv = nn.Conv2d(2 * c, 2 * c, 1) if config.use_quant_conv else nn.Identity()
        self.post_quant_conv = nn.Conv2d(c, c, 1) if config.use_post_quant_conv else nn.Identity()

    def forward(self, pictures: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One training pass. pictures: (B, 3, H, W) in [-1, 1]; noise: (B, C, h, w). Returns reconstruction, mean and logvar."""
        posterior = self.encode(pictures)
        return self.decode(posterior.sample(noise)), posterior.mean, posterior.logvar

    def encode(self, pictures: Tensor) -> Posterior:
        """pictures: (B, 3, H, W) in [-1, 1]. Returns the unscaled posterior, (B, C, h, w)."""
        mean, logvar = self.quant_conv(self.encoder(pictures)).chunk(2, dim=1)
        return Posterior(mean, logvar.clamp(-30, 20))

    def decode(self, latents: Tensor) -> Tensor:
        """latents: (B, C, h, w), unscaled. Returns pictures (B, 3, H, W), about [-1, 1], not clamped."""
        return self.decoder(self.post_quant_conv(latents))


_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def with_current_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict with the attention names of diffusers >= 0.15; SD v1.4's VAE is published with the older ones."""
    renamed = {}
    for key, value in state.items():
        head, _, tail = key.rpartition(".")
        name = head.rpartition(".")[2]
        if ".attentions." in key and name in _OLD_ATTENTION:
            key = f"{head.removesuffix(name)}{_OLD_ATTENTION[name]}.{tail}"
            value = value.flatten(1) if value.dim() == 4 else value  # 1x1 convolutions in the oldest files
        renamed[key] = value
    return renamed
