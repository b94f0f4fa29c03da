"""Attention: the operation itself, the transformer block of the U-Net, and the text that it attends to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldmcli.networks.group_norm import GroupNorm
from ldmcli.networks.linear import Linear

# B pictures, N image tokens (h*w), L text tokens, D text width, C channels, H heads, d = C/H


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, causal: bool = False) -> Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017, eq. 1). q: (B, H, N, d); k, v: (B, H, L, d).

    mask: broadcastable to (B, H, N, L), True where a key may be seen; causal: instead of a mask. Returns (B, H, N, d).
    """
    if q.device.type == "cpu" and torch.is_grad_enabled() and q.shape[-2] * k.shape[-2] <= 16384:
        # torch's fused CPU backward is several times slower than two batched matmuls when the sequences are short.
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        if causal:
            mask = causal_mask(q.shape[-2], q.device)
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        return scores.softmax(dim=-1).to(v.dtype) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)


def causal_mask(length: int, device: torch.device) -> Tensor:
    """(L, L) bool, True where a key comes no later than the query."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


class KeysValues(Protocol):
    """A cross-attention layer: states (B, L, D) to its keys and values."""

    def keys_values(self, source: Tensor, /) -> tuple[Tensor, Tensor]:
        """source: (B, L, D). Returns keys and values, (B, H, L, d) each."""
        ...


@dataclass(eq=False)
class TextContext:
    """The encoded prompt as the U-Net sees it.

    states: (B, L, D); mask: (B, L) bool, True where a token may be attended to, or None for all.
    remember: keep every layer's keys and values. They do not depend on the step, and in a small U-Net they
    are up to half of all multiplications. Only for inference: the kept tensors belong to one set of weights.
    """

    states: Tensor
    mask: Tensor | None = None
    remember: bool = False
    _kept: dict["KeysValues", tuple[Tensor, Tensor]] = field(default_factory=dict)

    def second_half(self) -> "TextContext":
        """Of a batch that holds every picture twice, what the second ones see."""
        half = len(self.states) // 2
        return TextContext(self.states[half:], None if self.mask is None else self.mask[half:], self.remember)

    def between(self, shares: Sequence[float], *, guided: bool) -> "TextContext":
        """Of a batch whose second half are the prompts to go to: the states so far on the way, each picture's own share of it.

        guided: the negative prompts, as many, come first; they stay. A token counts where either prompt has one.
        """
        count = len(shares)
        first = 2 * count if guided else 0
        share = torch.tensor(shares, device=self.states.device, dtype=self.states.dtype)[:, None, None]
        one, other = self.states[first:].chunk(2)
        states = torch.cat([self.states[: first // 2], one + share * (other - one)])
        if self.mask is None:
            return TextContext(states, None, self.remember)
        here, there = self.mask[first:].chunk(2)
        return TextContext(states, torch.cat([self.mask[: first // 2], here | there]), self.remember)

    def keep(self, attention: "KeysValues", pair: tuple[Tensor, Tensor]) -> None:
        """Let a layer find this pair instead of computing one."""
        self._kept[attention] = pair

    def keys_values(self, attention: "KeysValues") -> tuple[Tensor, Tensor]:
        """The pair of one cross-attention layer, as it wants them."""
        if attention in self._kept:
            return self._kept[attention]
        pair = attention.keys_values(self.states)
        if self.remember:
            self._kept[attention] = pair
        return pair


class Attention(nn.Module):
    """Multi-head attention with diffusers' parameter names (`to_q`, `to_k`, `to_v`, `to_out.0`)."""

    def __init__(self, channels: int, heads: int, *, source_width: int | None = None, qkv_bias: bool = False, upcast: bool = False) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{heads} attention heads do not divide {channels} channels")
        self.heads = heads
        self.upcast = upcast
        self.to_q = Linear(channels, channels, bias=qkv_bias)
        self.to_k = Linear(source_width or channels, channels, bias=qkv_bias)
        self.to_v = Linear(source_width or channels, channels, bias=qkv_bias)
        self.to_out = nn.ModuleList([Linear(channels, channels), nn.Identity()])

    def split(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, H, N, d)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys_values(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """source: (B, L, D). Returns keys and values, (B, H, L, d) each."""
        return self.split(self.to_k(source)), self.split(self.to_v(source))

    def forward(self, x: Tensor, context: TextContext | None = None) -> Tensor:
        """x: (B, N, C). Self-attention without context, cross-attention with it. Returns (B, N, C)."""
        q = self.split(self.to_q(x))
        k, v = self.keys_values(x) if context is None else context.keys_values(self)
        mask = None if context is None or context.mask is None else context.mask[:, None, None, :]
        if self.upcast:  # SD 2.1 overflows in fp16 here
            mixed = attend(q.float(), k.float(), v.float(), mask).to(v.dtype)
        else:
            mixed = attend(q, k, v, mask)
        return self.to_out[0](mixed.transpose(1, 2).flatten(2))


class GEGLU(nn.Module):
    """Linear layer gated by GELU (Shazeer 2020): (B, N, C) -> (B, N, width)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.proj = Linear(channels, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, width)."""
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """GEGLU to four times the width and back. `net.1` is diffusers' dropout, kept for its place in the key names."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([GEGLU(channels, 4 * channels), nn.Identity(), Linear(4 * channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C)."""
        return self.net[2](self.net[0](x))


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention to the text, feed-forward; each on a layer norm and added to the input."""

    def __init__(self, channels: int, heads: int, text_width: int, *, upcast: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = Attention(channels, heads, upcast=upcast)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = Attention(channels, heads, source_width=text_width, upcast=upcast)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, x: Tensor, context: TextContext) -> Tensor:
        """x: (B, N, C). Returns the same shape."""
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Transformer blocks over the pixels of a feature map (Rombach et al. 2022, sec. 3.3)."""

    def __init__(
        self, channels: int, heads: int, text_width: int, *, depth: int, groups: int, linear_projection: bool, upcast: bool
    ) -> None:
        super().__init__()
        self.linear_projection = linear_projection
        self.norm = GroupNorm(groups, channels, eps=1e-6)
        self.proj_in: nn.Module = Linear(channels, channels) if linear_projection else nn.Conv2d(channels, channels, 1)
        blocks = [TransformerBlock(channels, heads, text_width, upcast=upcast) for _ in range(depth)]
        self.transformer_blocks = nn.ModuleList(blocks)
        self.proj_out: nn.Module = Linear(channels, channels) if linear_projection else nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, context: TextContext) -> Tensor:
        """x: (B, C, h, w). Returns the same shape."""
        h, w = x.shape[-2:]
        tokens = self.norm(x)
        if not self.linear_projection:
            tokens = self.proj_in(tokens)
        tokens = tokens.flatten(2).transpose(1, 2)  # (B, N, C)
        if self.linear_projection:
            tokens = self.proj_in(tokens)
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        if self.linear_projection:
            tokens = self.proj_out(tokens)
        tokens = tokens.transpose(1, 2).unflatten(2, (h, w))
        if not self.linear_projection:
            tokens = self.proj_out(tokens)
        return x + tokens
