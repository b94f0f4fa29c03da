"""CLIP's byte-pair tokenizer by the `tokenizers` library; the same ids as transformers' CLIPTokenizer."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor

from ldmcli.errors import LdmError, NotFound

START, END = "<|startoftext|>", "<|endoftext|>"
BPE_LINES = 49152 - 256 - 2 + 1
"""Of the published vocabulary file, which goes on with merges that CLIP does not use."""
_ROLES = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
_WORDS = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


@dataclass(frozen=True)
class Tokens:
    """One window of a prompt, encoded: all of it, unless it is long.

    ids: (L,) int64, start, words, end, pads; length: tokens up to and including the end; dropped: the text that did not fit,
    dropped_tokens: how many tokens that is; weights: (L,), what each token's state is to be multiplied by, None where all are 1.
    """

    ids: Tensor
    length: int
    dropped: str
    dropped_tokens: int
    weights: Tensor | None = None


class ClipTokenizer:
    """Text to ids of a fixed length (77 for Stable Diffusion)."""

    def __init__(self, vocab: dict[str, int], merges: list[tuple[str, str]], special: list[AddedToken], *, length: int, pad: str) -> None:
        """special: what is cut out of the text before anything else, if it is spelled out there."""
        self.length = length
        self.start, self.end = vocab[START], vocab[END]
        self.pad = vocab[pad]
        self.comma = vocab.get(",</w>")
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
        self._tokenizer.add_special_tokens(special)

    @property
    def sha256(self) -> str:
        """Of the words, their numbers and the merges, in hex: the same in whatever files they come."""
        model = json.loads(self._tokenizer.to_str())["model"]
        merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
        return hashlib.sha256(json.dumps([model["vocab"], merges], sort_keys=True).encode()).hexdigest()

    def encode(self, text: str) -> Tokens:
        """Cut after length - 2 tokens, the end token kept."""
        return self.windows([(text, 1.0)])[0]

    def windows(self, parts: Sequence[tuple[str, float]], *, long: bool = False) -> list[Tokens]:
        """A prompt in parts, each with its weight, as one window that is cut, or with `long` as many windows as it takes.

        The parts are tokenized one by one: a bracket inside a word cuts the word, as in A1111.
        """
        encoded = [self._tokenizer.encode(text) for text, _ in parts]
        ids = [i for one in encoded for i in one.ids]
        weights = [weight for one, (_, weight) in zip(encoded, parts, strict=True) for _ in one.ids]
        ends = self._ends(ids) if long else [min(len(ids), self.length - 2)]
        over, dropped = len(ids) - ends[-1], ""
        if over:
            rest = ends[-1]
            for number, one in enumerate(encoded):
                if rest < len(one.ids):
                    dropped = parts[number][0][one.offsets[rest][0] :] + "".join(text for text, _ in parts[number + 1 :])
                    break
                rest -= len(one.ids)
        return [self._window(ids[first:end], weights[first:end], dropped, over) for first, end in pairwise([0, *ends])]

    def _ends(self, ids: list[int]) -> list[int]:
        """Where windows of length - 2 tokens end: after a comma if there is one in their last quarter or so, as in A1111 (20 of 75)."""
        room, first, ends = self.length - 2, 0, []
        while len(ids) - first > room:
            full = first + room
            near = range(full, full - room * 20 // 75, -1) if ids[full] != self.comma else ()
            first = next((end for end in near if ids[end - 1] == self.comma), full)
            ends.append(first)
        return [*ends, len(ids)]

    def _window(self, words: list[int], weights: list[float], dropped: str, over: int) -> Tokens:
        ids = [self.start, *words, self.end]
        pads = self.length - len(ids)
        weighted = None if all(weight == 1 for weight in weights) else torch.tensor([1.0, *weights, 1.0, *[1.0] * pads])
        return Tokens(torch.tensor(ids + [self.pad] * pads), len(ids), dropped, over, weighted)

    def words(self, ids: Tensor) -> list[str]:
        """The piece of text behind each id, for people."""
        return [(self._tokenizer.id_to_token(int(i)) or "").removesuffix("</w>") for i in ids]

    def word_positions(self, parts: Sequence[tuple[str, float]], *, long: bool = False) -> list[tuple[str, float, list[int]]]:
        """The words as they were typed, each with its weight and the positions of the tokens that spell it, in `windows` laid end to end.

        Position 0 is the first window's start token. Words that were left out are not there.
        """
        encoded = [self._tokenizer.encode(text) for text, _ in parts]
        ids = [i for one in encoded for i in one.ids]
        ends = self._ends(ids) if long else [min(len(ids), self.length - 2)]
        places = [window * self.length + 1 + i for window, (first, end) in enumerate(pairwise([0, *ends])) for i in range(end - first)]
        spans: dict[tuple[int, int | None], tuple[list[int], list[int]]] = {}
        spelled = ((part, word, span) for part, one in enumerate(encoded) for word, span in zip(one.word_ids, one.offsets, strict=True))
        for position, (part, word, (first, last)) in zip(places, spelled, strict=False):
            positions, reach = spans.setdefault((part, word), ([], [first, last]))
            positions.append(position)
            reach[1] = last
        return [(parts[part][0][first:last], parts[part][1], positions) for (part, _), (positions, (first, last)) in spans.items()]


def load_tokenizer(folder: Path, length: int, *, pad: int | None = None) -> ClipTokenizer:
    """A folder with CLIP's tokenizer files, or the vocabulary file that open_clip ships.

    length: positions of the text encoder; pad: another token to pad with than the files say. Raises NotFound that names missing files.
    """
    if folder.is_file():
        return _from_open_clip(folder, length, pad)
    names = ["tokenizer.json"] if (folder / "tokenizer.json").is_file() else ["vocab.json", "merges.txt"]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise NotFound(f"{folder} lacks {' and '.join(missing)}.", hint="Copy the CLIP tokenizer's files there.")
    try:
        # transformers 5 writes tokenizer.json alone, everything before it the other two.
        whole = _json(folder / "tokenizer.json")
        if whole:
            vocab = whole["model"]["vocab"]
            pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in whole["model"]["merges"]]
        else:
            vocab = _json(folder / "vocab.json")
            lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
            pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
        config = _json(folder / "tokenizer_config.json")
        special, stated = _special_tokens(config, _json(folder / "special_tokens_map.json"), whole.get("added_tokens"))
        room = min(length, int(config.get("model_max_length") or length))
        return _padded(vocab, [(a, b) for a, b in pairs], special, room, stated, pad)
    except Exception as error:  # the tokenizers library raises nothing more special
        raise LdmError(f"{folder} does not hold a CLIP tokenizer: {error!r}") from error


def _padded(
    vocab: dict[str, int], merges: list[tuple[str, str]], special: list[AddedToken], length: int, stated: str, pad: int | None
) -> ClipTokenizer:
    """With the stated pad token, or the one with the number `pad`, which diffusers then treats as special in prompts too."""
    if pad is not None:
        stated = next(token for token, number in vocab.items() if number == pad)
        special = [*special, _added(stated)]
    return ClipTokenizer(vocab, merges, special, length=length, pad=stated)


def _from_open_clip(path: Path, length: int, pad: int | None) -> ClipTokenizer:
    """bpe_simple_vocab_16e6.txt.gz (Radford et al. 2021): the merges in order; the vocabulary follows from them."""
    try:
        lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise LdmError(f"{path} does not hold CLIP's vocabulary: {error}") from error
    merges = [(a, b) for a, b in (line.split() for line in lines[1:BPE_LINES])]
    letters = _letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *(a + b for a, b in merges), START, END]
    return _padded({token: number for number, token in enumerate(tokens)}, merges, [_added(START), _added(END)], length, END, pad)


def _letters() -> list[str]:
    """A printable stand-in for every byte, those first that are printable themselves: the order of GPT-2's and CLIP's vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in printable] + [chr(256 + place) for place in range(256 - len(printable))]


def _special_tokens(config: dict[str, Any], legacy: dict[str, Any], saved: list[dict[str, Any]] | None) -> tuple[list[AddedToken], str]:
    """The special tokens and the content of the pad token, as transformers 5 works them out from all the places that state them.

    A token that is "normalized" is also found in other capitals. SD 2.x pads with "!", which so becomes special in prompts too.
    """
    stated = [*config.get("added_tokens_decoder", {}).values(), *(saved or [])]
    known = {token["content"]: _added(token) for token in stated}
    roles = {**_ROLES, **{key: value for key, value in config.items() if key in _ROLES}}
    if "added_tokens_decoder" not in config:
        roles |= {key: value for key, value in legacy.items() if key in _ROLES}
    named = [_added(value) for value in roles.values() if value is not None]
    special = {token.content: token for token in (*known.values(), *(known.get(token.content, token) for token in named))}
    pad = roles["pad_token"]
    return list(special.values()), END if pad is None else _added(pad).content


def _added(token: str | dict[str, Any]) -> AddedToken:
    if isinstance(token, str):
        return AddedToken(token, normalized=False, special=True)
    flags = {key: bool(token.get(key, False)) for key in ("single_word", "lstrip", "rstrip", "normalized")}
    return AddedToken(token["content"], special=True, **flags)


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
