"""What a text state must be for a word to mean a known phrase: equal to its states, and nearest to them where the word and the text end."""

import torch
from torch import Tensor
from torch.nn import functional as F
from vocabulary import LENGTH

from ldmcli.models.tokenizer import Tokens

NEARNESS = 12.0
"""Difference of squared distances (192 numbers of variance 1) that makes one thing e times as likely as another."""


def span_of(word: Tokens, known: Tokens) -> tuple[int, int]:
    """First position of the word's pieces and the one after the last: where its caption differs from the one with the known phrase."""
    a, b = word.ids[: word.length].tolist(), known.ids[: known.length].tolist()
    before = next(i for i in range(len(a)) if i >= len(b) or a[i] != b[i]) if a != b else len(a)
    after = 0
    while after < min(len(a), len(b)) - before and a[-1 - after] == b[-1 - after]:
        after += 1
    return before, len(a) - after


def matches(word: Tokens, known: Tokens, length: int = LENGTH) -> tuple[list[int], list[int]]:
    """Positions of the first, of its first `length`, whose states must be those at positions of the second; they differ in one span."""
    first, end = span_of(word, known)
    known_end = known.length - (word.length - end)
    pads = range(max(word.length, known.length), length)
    mine = [*range(first, word.length), *pads]
    theirs = [max(known_end - 1, 0)] * (end - first) + [*range(known_end, known.length), *pads]
    return mine, theirs


def word_loss(states: Tensor, wanted: Tensor, words: list[Tokens], known: list[Tokens]) -> Tensor:
    """Mean squared distance between matching states. states, wanted: (B, length, D)."""
    rows, mine, theirs = [], [], []
    for row, (word, phrase) in enumerate(zip(words, known, strict=True)):
        here, there = matches(word, phrase, states.shape[1])
        rows += [row] * len(here)
        mine += here
        theirs += there
    return F.mse_loss(states[rows, mine], wanted[rows, theirs])


def nearest_loss(states: Tensor, things: Tensor, right: Tensor) -> Tensor:
    """Cross-entropy of the right thing by squared distance. states: (B, D); things: (K, D); right: (B,) rows of them."""
    away = torch.cdist(states, things).square()
    return F.cross_entropy(-away / NEARNESS, right)
