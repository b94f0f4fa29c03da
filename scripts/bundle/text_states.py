"""The states of many texts of unlike length: those of like length together, so that little is computed for pads."""

import random
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F
from vocabulary import LENGTH

from ldmcli.models.tokenizer import Tokens
from ldmcli.networks.clip_text import CLIPText

GROUPS = 3
SHORT = 0.8
"""Of the groups, those that are cut behind the second pad of the longest; the others end anywhere: all pads are to say the same."""


def states_of(text: CLIPText, said: list[Tokens], rng: random.Random) -> tuple[Tensor, Tensor]:
    """(B, LENGTH, D) states, zeros behind the last that was computed, and (B,) the place of that one: a pad where there is room."""
    rows: list[int] = []
    last: list[int] = []
    found = []
    for group in groups_of(said):
        longest = max(said[row].length for row in group)
        length = min(longest + 2 if rng.random() < SHORT else rng.randint(longest, LENGTH), LENGTH)
        states = text(torch.stack([said[row].ids[:length] for row in group])).float()
        found.append(F.pad(states, (0, 0, 0, LENGTH - length)))
        rows += group
        last += [length - 1] * len(group)
    back = torch.tensor(rows).argsort()
    return torch.cat(found)[back], torch.tensor(last)[back]


def groups_of(said: list[Tokens]) -> list[list[int]]:
    """Rows of at most GROUPS groups with about as many tokens each, the shortest texts first."""
    order = sorted(range(len(said)), key=lambda row: said[row].length)
    ends = list(accumulate(said[row].length for row in order))
    groups: list[list[int]] = [[] for _ in range(GROUPS)]
    for row, end in zip(order, ends, strict=True):
        groups[GROUPS * (end - 1) // ends[-1]].append(row)
    return [group for group in groups if group]
