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


def load_conditioner(
    model: Path, tokenizer_folder: Path | None = None, *, use_mask: bool = False, allow_pickle: bool = False
) -> TextConditioner:
    """The text encoder of a model with its own tokenizer or another one. Raises LdmError when they do not belong together."""
    encoder = load_text_encoder(model, allow_pickle=allow_pickle)
    # SD 2.x, whose text tower is OpenCLIP's, pads with the first token; CLIP's own tokenizer files say otherwise.
    pad = 0 if model.is_file() and encoder.config.hidden_act == "gelu" else None
    tokenizer = load_tokenizer(tokenizer_folder or model / "tokenizer", encoder.config.max_position_embeddings, pad=pad)
    if tokenizer.vocab_size != encoder.config.vocab_size:
        raise LdmError(
            f"{model}: the tokenizer has {tokenizer.vocab_size} entries, the text encoder {encoder.config.vocab_size}; "
            "they do not belong together."
        )
    return TextConditioner(tokenizer, encoder, use_mask)
