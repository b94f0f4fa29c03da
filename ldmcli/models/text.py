"""Prompts to what the U-Net attends to: tokenizer and text encoder as one thing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ldmcli.errors import LdmError
from ldmcli.models.loading import load_text_encoder
from ldmcli.models.tokenizer import ClipTokenizer, Tokens, load_tokenizer
from ldmcli.networks.clip_text import CLIPText

# B prompts, L tokens, D width


@dataclass
class TextConditioner:
    """A tokenizer and the encoder that belongs to it. use_mask: the model was trained with pads hidden from cross-attention."""

    tokenizer: ClipTokenizer
    encoder: CLIPText
    use_mask: bool = False

    def tokens(self, prompt: str) -> Tokens:
        """Without running the network."""
        return self.tokenizer.encode(prompt)

    @torch.no_grad()
    def states(self, tokens: Sequence[Tokens]) -> Tensor:
        """One vector per token, (B, L, D). Pads are encoded like everything else, as diffusers does for SD."""
        device = self.encoder.final_layer_norm.weight.device
        return self.encoder(torch.stack([t.ids for t in tokens]).to(device))

    def mask(self, tokens: Sequence[Tokens]) -> Tensor | None:
        """(B, L) bool, True up to the end token; None when the model attends to pads too."""
        if not self.use_mask:
            return None
        lengths = torch.tensor([t.length for t in tokens])
        return torch.arange(self.tokenizer.length)[None, :] < lengths[:, None]


def load_conditioner(model: Path, *, use_mask: bool = False) -> TextConditioner:
    """`text_encoder/` and `tokenizer/` of a model folder. Raises LdmError when they do not belong together."""
    encoder = load_text_encoder(model)
    tokenizer = load_tokenizer(model, encoder.config.max_position_embeddings)
    if tokenizer.vocab_size != encoder.config.vocab_size:
        raise LdmError(
            f"{model}: the tokenizer has {tokenizer.vocab_size} entries, the text encoder {encoder.config.vocab_size}; "
            "they do not belong together."
        )
    return TextConditioner(tokenizer, encoder, use_mask)
