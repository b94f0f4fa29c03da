"""Prompt weighting as the A1111 web UI writes it: `(word:1.3)`, `(word)`, `[word]`. Reads text only; knows no tokens."""

import re
from itertools import groupby

MARKS = re.compile(r"\\[()\[\]\\]|\\|[()\[\]]|:\s*(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))\s*\)|[^\\()\[\]:]+|:")
FACTOR = 1.1
"""What a pair of round brackets multiplies by, and a pair of square ones divides by."""


def parse_weights(prompt: str) -> list[tuple[str, float]]:
    """The prompt as pieces of text, each with its weight; neighbours of one weight are one piece. Every text is a valid prompt.

    `(a)` weighs 1.1, `(a:1.3)` 1.3, `[a]` 1 / 1.1; nested ones multiply; a bracket that is never closed reaches to the end, one that was
    never opened is text; a backslash before a bracket or another backslash makes that text, and any other backslash is dropped.
    """
    marks = list(MARKS.finditer(prompt))
    opened: dict[str, list[int]] = {"(": [], "[": []}
    factors: dict[int, float] = {}  # of opening brackets, by their place among the marks
    closing: dict[int, str] = {}
    for place, match in enumerate(marks):
        mark, weight = match[0], match["weight"]
        if mark in opened:
            opened[mark].append(place)
            factors[place] = FACTOR if mark == "(" else 1 / FACTOR
        elif mark[-1] == ")" and mark[0] != "\\" and opened["("]:
            first = opened["("].pop()
            factors[first] = FACTOR if weight is None else float(weight)
            closing[place] = "("
        elif mark == "]" and opened["["]:
            opened["["].pop()
            closing[place] = "["

    pieces: list[tuple[str, float]] = []
    inside = {"(": [1.0], "[": [1.0]}  # two stacks: in A1111 round and square brackets may overlap
    for place, match in enumerate(marks):
        mark = match[0]
        if place in factors:
            inside[mark].append(inside[mark][-1] * factors[place])
        elif place in closing:
            inside[closing[place]].pop()
        else:
            pieces.append((mark[1:] if mark[0] == "\\" else mark, inside["("][-1] * inside["["][-1]))
    merged = [("".join(text for text, _ in group), weight) for weight, group in groupby(pieces, key=lambda piece: piece[1])]
    return merged or [("", 1.0)]


def weighted_parts(prompt: str, weighting: str) -> list[tuple[str, float]]:
    """The prompt in pieces, each with its weight. weighting: none, where brackets are text, or a1111."""
    return parse_weights(prompt) if weighting == "a1111" else [(prompt, 1.0)]


def words(prompt: str, weighting: str) -> str:
    """What the prompt says, without the marks that weigh it: what a picture of it is scored against."""
    return "".join(text for text, _ in weighted_parts(prompt, weighting))
