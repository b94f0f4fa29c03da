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
SKETCH_CELLS = 16
FIRST_OF_SKETCH = LENGTH - SKETCH_CELLS
"""The last pads tell a sketch of the picture, a cell each (sketch.py); few captions reach that far."""
SHORT = 0.25
"""Of the groups, those that are cut behind the second pad of the longest; the others have all pads."""


def states_of(text: CLIPText, said: list[Tokens], rng: random.Random) -> tuple[Tensor, Tensor]:
    """(B, LENGTH, D) states, zeros behind the last that was computed, and (B,) the place of that one: a pad where there is room."""
    rows: list[int] = []
    last: list[int] = []
    found = []
    for group in groups_of(said):
        longest = max(said[row].length for row in group)
        length = min(longest + 2, LENGTH) if rng.random() < SHORT else LENGTH
        states = text(torch.stack([said[row].ids[:length] for row in group])).float()
        found.append(F.pad(states, (0, 0, 0, LENGTH - length)))
        rows += group
        last += [length - 1] * len(group)
    back = torch.tensor(rows).argsort()
    return torch.cat(found)[back], torch.tensor(last)[back]


def pads_to_ask(lengths: Tensor, last: Tensor, rng: random.Random) -> Tensor:
    """(B,) the place of a pad that was computed, before the sketch; of a text that reaches into it, of the next pad or its last token."""
    ends = last.clamp(max=FIRST_OF_SKETCH - 1).maximum(lengths).minimum(last)
    begins = lengths.minimum(ends)
    return torch.tensor([rng.randint(first, end) for first, end in zip(begins.tolist(), ends.tolist(), strict=True)])


def groups_of(said: list[Tokens]) -> list[list[int]]:
    """Rows of at most GROUPS groups with about as many tokens each, the shortest texts first."""
    order = sorted(range(len(said)), key=lambda row: said[row].length)
    ends = list(accumulate(said[row].length for row in order))
    groups: list[list[int]] = [[] for _ in range(GROUPS)]
    for row, end in zip(order, ends, strict=True):
        groups[GROUPS * (end - 1) // ends[-1]].append(row)
    return [group for group in groups if group]
