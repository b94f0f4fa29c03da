"""CLIP's byte-pair tokenizer by the `tokenizers` library; the same ids as transformers' CLIPTokenizer."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor

from ldmcli.errors import LdmError
from ldmcli.models.added_tokens import END, START, added, vectors
from ldmcli.models.tokenizer_files import TokenizerFiles, read_files, unfit

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

    def __init__(
        self,
        vocab: dict[str, int],
        merges: list[tuple[str, str]],
        special: list[AddedToken],
        *,
        length: int,
        pad: str,
        learned: Mapping[int, AddedToken] | None = None,
    ) -> None:
        """special: what is cut out of the text before anything else, if it is spelled out there; learned: likewise, those beyond the
        vocabulary by their number. Raises ValueError where that cannot be their number."""
        self.length = length
        self.start, self.end = vocab[START], vocab[END]
        self.pad = vocab[pad]
        self.comma = vocab.get(",</w>")
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
        beyond = {token.content for token in (learned or {}).values()}
        self._tokenizer.add_special_tokens([token for token in special if token.content not in beyond])
        for number, token in (learned or {}).items():  # in the order of their numbers
            self._tokenizer.add_tokens([token])
            if self._tokenizer.token_to_id(token.content) != number:
                raise ValueError(f"{token.content} cannot be number {number}")
        self.vocab_size = max([*vocab.values(), *(learned or ())]) + 1
        self._vectors = vectors(sorted(beyond))

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
        parts = [(self._with_vectors(text), weight) for text, weight in parts]
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

    def _with_vectors(self, text: str) -> str:
        """With every token that has several vectors spelled out, as diffusers does it."""
        for token in dict.fromkeys(self._tokenizer.encode(text).tokens) if self._vectors else ():
            text = text.replace(token, self._vectors.get(token, token))
        return text

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
        parts = [(self._with_vectors(text), weight) for text, weight in parts]
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

    length: positions of the text encoder; pad: another token to pad with than the files say. Raises as `read_files`.
    """
    files = read_files(folder)
    with unfit(folder):
        room = int(min(length, files.length or length))
        if room < 3:
            raise LdmError(f"{folder / 'tokenizer_config.json'}: model_max_length = {room}; room for a word is needed.")
        special, stated = _padded(files, pad)
        return ClipTokenizer(files.vocab, files.merges, special, length=room, pad=stated, learned=files.learned)


def _padded(files: TokenizerFiles, pad: int | None) -> tuple[list[AddedToken], str]:
    """The stated pad token, or the one with the number `pad`, which diffusers then treats as special in prompts too."""
    if pad is None:
        return files.special, files.pad
    stated = next(token for token, number in files.vocab.items() if number == pad)
    return [*files.special, added(stated)], stated
