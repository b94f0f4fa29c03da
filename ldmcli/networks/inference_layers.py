"""The layers of U-Net and VAE as their inference copies run them: the same numbers to rounding in fewer, fused operations.

Feature maps are channels-last, so that their pixels are rows of tokens without a copy. Module names are those of the plain layers.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldmcli.networks.attention import Attention, FeedForward, SpatialTransformer, TextContext, TransformerBlock
from ldmcli.networks.layers import ResnetBlock, Upsample
from ldmcli.networks.packed import PackedConv, PackedLinear, packed_linear, packed_linears
from ldmcli.networks.vae import MidAttention

# B pictures, C channels, h w feature-map size, N tokens (h*w), L text tokens, D text width, H heads, d = C/H

SHORT = 64 * 128
"""Scores of a head up to which two products and a softmax are faster than the fused kernel for long sequences."""


def normed(norm: nn.Module, x: Tensor) -> Tensor:
    """The group norm of a channels-last map, (B, C, h, w), channels-last.

    Not by torch's kernel for that order (torch 2.13): where a group's mean is large beside its spread it rounds up to ten times worse.
    """
    result: Tensor = norm(x.contiguous())
    return result.contiguous(memory_format=torch.channels_last)


def normed_silu(norm: nn.Module, x: Tensor) -> Tensor:
    """SiLU of the group norm."""
    return F.silu(normed(norm, x), inplace=True)


def as_tokens(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, N, C), a view of a channels-last map."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def as_map(tokens: Tensor, like: Tensor) -> Tensor:
    """(B, N, C) -> (B, C, h, w), channels-last, of the size of `like`."""
    return tokens.unflatten(1, tuple(like.shape[-2:])).permute(0, 3, 1, 2)


def widened(x: Tensor, rows: int) -> Tensor:
    """What was computed once for both halves of a guided call, for each of them."""
    return x if len(x) == rows else torch.cat([x, x])


class FusedResnet(nn.Module):
    """ResnetBlock whose time embedding is already projected."""

    def __init__(self, block: ResnetBlock) -> None:
        super().__init__()
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.conv1, self.conv2 = PackedConv(block.conv1), PackedConv(block.conv2)
        self.conv_shortcut = None if block.conv_shortcut is None else packed_linear(block.conv_shortcut)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """x: (B, C_in, h, w). time: of all pictures (C_out,), or of each (B, C_out), with conv1's bias in it. Returns (B, C_out, h, w)."""
        of_each = time is not None and time.dim() == 2
        h = self.conv1(normed_silu(self.norm1, x), bias=torch.zeros_like(time[0]) if of_each else time)  # type: ignore[index]
        h = h.add_(time[:, :, None, None]) if of_each else h  # type: ignore[index]
        h = normed_silu(self.norm2, h)
        return self.conv2(h, added=x if self.conv_shortcut is None else as_map(self.conv_shortcut(as_tokens(x)), x))  # type: ignore[no-any-return]


class FusedUpsample(nn.Module):
    """Upsample."""

    def __init__(self, layer: Upsample) -> None:
        super().__init__()
        self.conv = PackedConv(layer.conv)

    def forward(self, x: Tensor, size: torch.Size | None = None) -> Tensor:
        """size: (h, w) to reach; None doubles."""
        larger = (2 * x.shape[-2], 2 * x.shape[-1]) if size is None else tuple(size)
        return self.conv(F.interpolate(x, size=larger, mode="nearest"))  # type: ignore[no-any-return]


class FusedSelfAttention(nn.Module):
    """Self-attention with q, k and v from one product."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.heads = attention.heads
        self.to_qkv = packed_linears(attention.to_q, attention.to_k, attention.to_v)
        self.to_out = packed_linear(attention.to_out[0])

    def forward(self, x: Tensor, total: Tensor) -> Tensor:
        """x: (B, N, C); total: (B, N, C), which the result is added to and which is overwritten. Returns the sum."""
        q, k, v = self.to_qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, H, N, d) each
        return self.to_out.add_to(total, F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class FusedCrossAttention(nn.Module):
    """Attention to the text."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.heads = attention.heads
        self.to_q, self.to_out = packed_linear(attention.to_q), packed_linear(attention.to_out[0])
        self.to_kv = packed_linears(attention.to_k, attention.to_v)

    def keys_values(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """states: (B, L, D). Returns keys, over sqrt(d) and transposed, (B, H, d, L), and values, (B, H, L, d)."""
        keys, values = self.to_kv(states).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return (keys * keys.shape[-1] ** -0.5).transpose(-1, -2).contiguous(), values.contiguous()

    def forward(self, x: Tensor, total: Tensor, context: TextContext) -> Tensor:
        """x: (B, N, C); total: (B, N, C), which the result is added to and which is overwritten. Returns the sum."""
        q = self.to_q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        keys, values = context.keys_values(self)
        mask = None if context.mask is None else context.mask[:, None, None, :]
        if q.shape[-2] * keys.shape[-1] <= SHORT:
            scores = torch.bmm(q.flatten(0, 1), keys.flatten(0, 1)).view(*q.shape[:3], -1)
            scores = scores if mask is None else scores.masked_fill_(~mask, -torch.inf)
            mixed = torch.bmm(scores.softmax(dim=-1).flatten(0, 1), values.flatten(0, 1)).view(q.shape)
        else:
            mixed = F.scaled_dot_product_attention(q, keys.transpose(-1, -2).contiguous(), values, attn_mask=mask, scale=1.0)
        return self.to_out.add_to(total, mixed.transpose(1, 2).flatten(2))


class FusedFeedForward(nn.Module):
    """FeedForward; GELU and the gate's product are part of its two products where oneDNN makes them."""

    def __init__(self, layer: FeedForward) -> None:
        super().__init__()
        proj = layer.net[0].proj
        (value, gate), (value_bias, gate_bias) = proj.weight.chunk(2), proj.bias.chunk(2)  # type: ignore[union-attr,operator]
        self.value, self.gate = PackedLinear(value, bias=value_bias), PackedLinear(gate, bias=gate_bias)
        self.out = packed_linear(layer.net[2])

    def forward(self, x: Tensor, total: Tensor) -> Tensor:
        """x: (B, N, C); total: (B, N, C), which the result is added to and which is overwritten. Returns the sum."""
        return self.out.add_to(total, self.value(x, times=self.gate(x, gelu=True)))


class FusedTransformerBlock(nn.Module):
    """TransformerBlock."""

    def __init__(self, block: TransformerBlock) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = block.norm1, block.norm2, block.norm3
        self.attn1, self.attn2, self.ff = FusedSelfAttention(block.attn1), FusedCrossAttention(block.attn2), FusedFeedForward(block.ff)

    def forward(self, x: Tensor, context: TextContext) -> Tensor:
        """x: (B, N, C), overwritten; half as many as the context has, where its halves still agree. Returns all of them."""
        x = widened(self.attn1(self.norm1(x), x), len(context.states))
        x = self.attn2(self.norm2(x), x, context)
        return self.ff(self.norm3(x), x)  # type: ignore[no-any-return]


class FusedSpatialTransformer(nn.Module):
    """SpatialTransformer; its 1x1 convolutions are linear layers of the tokens."""

    def __init__(self, layer: SpatialTransformer) -> None:
        super().__init__()
        self.norm, self.proj_in, self.proj_out = layer.norm, packed_linear(layer.proj_in), packed_linear(layer.proj_out)
        self.transformer_blocks = nn.ModuleList([FusedTransformerBlock(block) for block in layer.transformer_blocks])  # type: ignore[arg-type]

    def forward(self, x: Tensor, context: TextContext) -> Tensor:
        """x: (B, C, h, w), overwritten; half as many as the context has, where its halves still agree. Returns all of them."""
        tokens = self.proj_in(as_tokens(normed(self.norm, x)))
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        return as_map(self.proj_out.add_to(as_tokens(widened(x, len(tokens))).contiguous(), tokens), x)


class FusedMidAttention(nn.Module):
    """MidAttention of the VAE."""

    def __init__(self, layer: MidAttention) -> None:
        super().__init__()
        self.group_norm, self.attention = layer.group_norm, FusedSelfAttention(layer)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, h, w), overwritten. Returns the same shape."""
        return as_map(self.attention(as_tokens(normed(self.group_norm, x)), as_tokens(x).contiguous()), x)
