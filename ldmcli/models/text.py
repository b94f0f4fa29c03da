"""Prompts to what the U-Net attends to: tokenizer and text encoder as one thing."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Unpack

import torch
from torch import Tensor

from ldmcli.errors import LdmError
from ldmcli.models.layout import Picking
from ldmcli.models.loading import load_text_encoder
from ldmcli.models.tokenizer import ClipTokenizer, Tokens, load_tokenizer
from ldmcli.networks.clip_text import CLIPText
from ldmcli.prompts.length import MOST_CHARACTERS
from ldmcli.prompts.weighting import weighted_parts

# B prompts, L tokens, D width

REMEMBERED = 1024
"""Prompts whose tokens are kept: each is asked for when it is checked, put into a batch, drawn and recorded."""


@dataclass
class TextConditioner:
    """A tokenizer and the encoder that belongs to it. use_mask: the model was trained with pads hidden from cross-attention."""

    tokenizer: ClipTokenizer
    encoder: CLIPText
    use_mask: bool = False
    _seen: dict[tuple[str, str, bool], list[Tokens]] = field(default_factory=dict)

    def tokens(self, prompt: str) -> Tokens:
        """Without running the network."""
        return self.tokenizer.encode(prompt[:MOST_CHARACTERS])

    @torch.no_grad()
    def states(self, tokens: Sequence[Tokens]) -> Tensor:
        """One vector per token, (B, L, D). Pads are encoded like everything else, as diffusers does for SD."""
        device = self.encoder.final_layer_norm.weight.device
        states = self.encoder(torch.stack([t.ids for t in tokens]).to(device))
        if all(t.weights is None for t in tokens):
            return states
        weights = torch.stack([torch.ones(len(t.ids)) if t.weights is None else t.weights for t in tokens])
        return emphasised(states, weights.to(device))

    def mask(self, tokens: Sequence[Tokens]) -> Tensor | None:
        """(B, L) bool, True up to the end token; None when the model attends to pads too."""
        if not self.use_mask:
            return None
        lengths = torch.tensor([t.length for t in tokens])
        return torch.arange(self.tokenizer.length)[None, :] < lengths[:, None]

    def windows(self, prompt: str, *, weighting: str = "none", long: bool = False) -> list[Tokens]:
        """What `encode` takes for a prompt. weighting: none, where brackets are text, or a1111; long: as many windows as it takes."""
        prompt = prompt[:MOST_CHARACTERS]
        key = (prompt, weighting, long)
        found = self._seen.get(key)
        if found is None:
            found = self.tokenizer.windows(weighted_parts(prompt, weighting), long=long)
            if len(self._seen) >= REMEMBERED:
                self._seen.clear()
            self._seen[key] = found
        return found

    def blank(self) -> Tokens:
        """A window without words, such as follows a prompt that is shorter than its neighbours."""
        return replace(self.tokens(""), length=0)

    def encode(self, prompts: Sequence[list[Tokens]]) -> tuple[Tensor, Tensor | None]:
        """States (B, K L, D) and mask (B, K L) of prompts of up to K windows, one after the other; see `states` and `mask`.

        Shorter prompts are followed by windows without words, as in A1111, which a model that hides pads does not see.
        """
        most = max(map(len, prompts))
        padded = [tokens for windows in prompts for tokens in [*windows, *[self.blank()] * (most - len(windows))]]
        states, mask = self.states(padded), self.mask(padded)
        return states.unflatten(0, (-1, most)).flatten(1, 2), None if mask is None else mask.unflatten(0, (-1, most)).flatten(1, 2)


def emphasised(states: Tensor, weights: Tensor) -> Tensor:
    """Each token's state times its weight, then all of a window so that the mean of its states is what it was, as A1111 does.

    states: (B, L, D); weights: (B, L). A1111 takes that mean over all prompts of a batch; here a window stands alone.
    """
    original = states.float()
    scaled = original * weights[..., None]
    mean, new_mean = original.mean((1, 2), keepdim=True), scaled.mean((1, 2), keepdim=True)  # (B, 1, 1)
    rounding = 1e-4 * scaled.abs().mean((1, 2), keepdim=True)  # an untrained layer norm leaves no mean to restore
    return (scaled * torch.where(new_mean.abs() > rounding, mean / new_mean, 1.0)).to(states.dtype)


def load_conditioner(
    model: Path, tokenizer_folder: Path | None = None, *, use_mask: bool = False, **picking: Unpack[Picking]
) -> TextConditioner:
    """The text encoder of a model with its own tokenizer or another one. Raises LdmError when they do not belong together."""
    encoder = load_text_encoder(model, **picking)
    # SD 2.x, whose text tower is OpenCLIP's, pads with the first token; CLIP's own tokenizer files say otherwise.
    pad = 0 if model.is_file() and encoder.config.hidden_act == "gelu" else None
    tokenizer = load_tokenizer(tokenizer_folder or model / "tokenizer", encoder.config.max_position_embeddings, pad=pad)
    if tokenizer.vocab_size != encoder.config.vocab_size:
        raise LdmError(
            f"{model}: the tokenizer has {tokenizer.vocab_size} entries, the text encoder {encoder.config.vocab_size}; "
            "they do not belong together."
        )
    return TextConditioner(tokenizer, encoder, use_mask)
