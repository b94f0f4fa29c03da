"""Composed pictures of combinations that training never shows: each kind of prompt, and what its pictures must hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from judging import asked as ask
from judging import descriptions, looks
from judging.asked import Asked
from judging.drawing import judged_sheet
from judging.figures import Figure, Result
from judging.furnishing import furnishings
from judging.judge import Judge

Look = Callable[[Judge, Sequence[Asked], Tensor], tuple[list[Figure], list[bool]]]
"""Asked (one for each picture) and pictures (N, 3, 64, 64) uint8 to figures, and whether each picture is all right."""


@dataclass(frozen=True)
class Kind:
    """Prompts of one kind, and how their pictures are looked at."""

    prompts: list[Asked]
    look: Look


def kinds(judge: Judge) -> dict[str, Kind]:
    """All that are measured, by name."""
    things, simple = judge.wardrobe.things, judge.wardrobe.simple
    return {
        "background": Kind(ask.on_backgrounds(things), looks.backgrounds),
        "beside": Kind(ask.in_relation(simple, above=False), looks.relations(above=False)),
        "above": Kind(ask.in_relation(simple, above=True), looks.relations(above=True)),
        "count": Kind(ask.counted(simple), looks.counts),
        "colour": Kind(ask.recoloured(things), looks.hues),
        "described": Kind(ask.described(things), descriptions.adjectives),
        "coloured on colour": Kind(ask.coloured_on_colour(things), descriptions.coloured_on_colour),
        "two coloured": Kind(ask.two_coloured(simple), descriptions.two_coloured),
        "furniture": Kind(ask.furnished(simple), furnishings),
        "place": Kind(ask.placed(simple), looks.places),
        "left-right": Kind(ask.on_split_backgrounds(things, stacked=False), looks.split_backgrounds("left", "right")),
        "top-bottom": Kind(ask.on_split_backgrounds(things, stacked=True), looks.split_backgrounds("top", "bottom")),
    }


def drawn(judge: Judge) -> dict[str, tuple[list[Asked], Tensor]]:
    """What the model makes of every kind: for each picture what was asked, prompt by prompt, and the pictures."""
    chosen = {name: judge.some(kind.prompts) for name, kind in kinds(judge).items()}
    asked = {name: [one for one in prompts for _ in range(judge.seeds)] for name, prompts in chosen.items()}
    pictures = judge.drawer.draw("composed", [one.prompt for prompts in chosen.values() for one in prompts], judge.seeds)
    parts = pictures.split([len(each) for each in asked.values()])
    return {name: (each, part) for (name, each), part in zip(asked.items(), parts, strict=True)}


def measure_composition(judge: Judge) -> Result:
    """Every kind. A red frame on the sheet: something that was asked for is missing."""
    table, made = kinds(judge), drawn(judge)
    figures: list[Figure] = []
    labels: list[str] = []
    right: list[bool] = []
    for name, (asked, pictures) in made.items():
        found, hits = table[name].look(judge, asked, pictures)
        figures += found
        labels += [one.prompt for one in asked]
        right += hits
    every = torch.cat([pictures for _, pictures in made.values()])
    details = [{"prompt": prompt, "right": hit} for prompt, hit in zip(labels, right, strict=True)]
    return Result(figures, details, judged_sheet(every, labels, right, columns=5 * judge.seeds))
