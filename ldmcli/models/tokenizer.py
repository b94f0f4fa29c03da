"""CLIP's byte-pair tokenizer from vocab.json and merges.txt, by the `tokenizers` library; the same ids as transformers' CLIPTokenizer."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor

from ldmcli.errors import LdmError, NotFound

START, END = "<|startoftext|>", "<|endoftext|>"
_WORDS = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


@dataclass(frozen=True)
class Tokens:
    """One prompt, encoded.

    ids: (L,) int64, start, words, end, pads; length: tokens up to and including the end; dropped: the text that did not fit,
    dropped_tokens: how many tokens that is.
    """

    ids: Tensor
    length: int
    dropped: str
    dropped_tokens: int


class ClipTokenizer:
    """Text to ids of a fixed length (77 for Stable Diffusion)."""

    def __init__(self, vocab: dict[str, int], merges: list[tuple[str, str]], *, length: int, pad: str) -> None:
        self.length = length
        self.start, self.end = vocab[START], vocab[END]
        self.pad = vocab[pad]
        self.vocab_size = max(vocab.values()) + 1
        bpe = models.BPE(vocab=vocab, merges=merges, continuing_subword_prefix="", end_of_word_suffix="</w>", fuse_unk=False, unk_token=END)
        self._tokenizer = Tokenizer(bpe)
        self._tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        self._tokenizer.add_special_tokens([AddedToken(START, normalized=False), AddedToken(END, normalized=False)])

    def encode(self, text: str) -> Tokens:
        """Cut after length - 2 tokens, the end token kept."""
        encoded = self._tokenizer.encode(text)
        room = self.length - 2
        kept = encoded.ids[:room]
        over = len(encoded.ids) - len(kept)
        dropped = text[encoded.offsets[room][0] :] if over else ""
        ids = [self.start, *kept, self.end]
        padded = ids + [self.pad] * (self.length - len(ids))
        return Tokens(torch.tensor(padded), len(ids), dropped, over)

    def words(self, ids: Tensor) -> list[str]:
        """The piece of text behind each id, for people."""
        return [(self._tokenizer.id_to_token(int(i)) or "").removesuffix("</w>") for i in ids]


def load_tokenizer(model: Path, length: int) -> ClipTokenizer:
    """The `tokenizer/` of a model folder; `length`: positions of the text encoder. Raises NotFound that names missing files."""
    folder = model / "tokenizer"
    missing = [name for name in ("vocab.json", "merges.txt") if not (folder / name).is_file()]
    if missing:
        raise NotFound(f"{folder} lacks {' and '.join(missing)}.", hint="Copy the CLIP tokenizer's files there.")
    try:
        vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
        merges = [(a, b) for line in lines if not line.startswith("#version") and line for a, b in [line.split(" ")]]
        config = (
            json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
            if (folder / "tokenizer_config.json").is_file()
            else {}
        )
        special_file = folder / "special_tokens_map.json"
        special = json.loads(special_file.read_text(encoding="utf-8")) if special_file.is_file() else {}
        pad = special.get("pad_token") or config.get("pad_token") or END
        pad = pad["content"] if isinstance(pad, dict) else pad
        return ClipTokenizer(vocab, merges, length=min(length, int(config.get("model_max_length", length))), pad=pad)
    except (ValueError, KeyError, TypeError) as error:
        raise LdmError(f"{folder} does not hold a CLIP tokenizer: {error}") from error
