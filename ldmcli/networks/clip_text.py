"""The CLIP text tower (Radford et al. 2021, sec. 2.4): a causal transformer over the caption's tokens."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldmcli.networks.attention import attend, causal_mask
from ldmcli.networks.configs import CLIPTextConfig
from ldmcli.networks.linear import Linear

# B captions, L tokens, D width


def embedding(count: int, width: int) -> nn.Embedding:
    """nn.Embedding. On the meta device no initial values are drawn: torch would import its compiler for that, which takes a second."""
    table = torch.empty(count, width)
    return nn.Embedding.from_pretrained(table if table.is_meta else nn.init.normal_(table), freeze=False)


class Embeddings(nn.Module):
    """Token plus learned position."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.token_embedding = embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = embedding(config.max_position_embeddings, config.hidden_size)

    def forward(self, ids: Tensor) -> Tensor:
        """ids: (B, L) int64. Returns (B, L, D)."""
        return self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]


class SelfAttention(nn.Module):
    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.q_proj = Linear(config.hidden_size, config.hidden_size)
        self.k_proj = Linear(config.hidden_size, config.hidden_size)
        self.v_proj = Linear(config.hidden_size, config.hidden_size)
        self.out_proj = Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor, visible: Tensor | None) -> Tensor:
        """x: (B, L, D); visible: (B, 1, L, L) bool, or None for causal attention. Returns (B, L, D)."""
        q, k, v = (p(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        mixed = attend(q, k, v, visible, causal=visible is None)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.quick = config.hidden_act == "quick_gelu"
        self.fc1 = Linear(config.hidden_size, config.intermediate_size)
        self.fc2 = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        h = self.fc1(x)
        return self.fc2(h * torch.sigmoid(1.702 * h) if self.quick else F.gelu(h))


class Layer(nn.Module):
    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config)
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = MLP(config)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x: Tensor, visible: Tensor | None) -> Tensor:
        """x: (B, L, D); visible: as in CLIPText.forward. Returns (B, L, D)."""
        x = x + self.self_attn(self.layer_norm1(x), visible)
        return x + self.mlp(self.layer_norm2(x))


class Encoder(nn.Module):
    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.num_hidden_layers)])


class CLIPText(nn.Module):
    """transformers CLIPTextModel without the wrapping: ids in, one vector per token out."""

    def __init__(self, config: CLIPTextConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """ids: (B, L) int64; mask: (B, L), 0 at pads that no token may see (None: all tokens are seen).

        Each token sees itself and what stands before it. Returns (B, L, D), layer-normed.
        """
        visible = None
        if mask is not None:
            length = ids.shape[1]
            visible = causal_mask(length, ids.device) & mask.bool()[:, None, None, :]  # (B, 1, L, L)
        x = self.embeddings(ids)
        for layer in self.encoder.layers:
            x = layer(x, visible)
        return self.final_layer_norm(x)

    def pooled(self, states: Tensor, ids: Tensor) -> Tensor:
        """The vector at the first end-of-text token, (B, D): what CLIP compares with pictures."""
        if self.config.eos_token_id == 2:  # configs from before transformers 4.31 state 2; the end token has the highest id
            position = ids.argmax(dim=-1)
        else:
            position = (ids == self.config.eos_token_id).int().argmax(dim=-1)
        return states[torch.arange(len(ids), device=ids.device), position]


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict in the layout of transformers >= 5.6: no `text_model.` prefix, no `position_ids` buffer."""
    stripped = {key.removeprefix("text_model."): value for key, value in state.items()}
    return {key: value for key, value in stripped.items() if not key.endswith("position_ids")}
