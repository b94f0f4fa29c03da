"""What a text state must tell by a straight line: the things, colours, places, style and look of the picture that a caption belongs to."""

import random
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from captions import with_article
from composition import BACKGROUNDS, HALF, HUES, PLACES, RELATIONS, plural
from PIL import Image
from sketch import SketchReader
from sources import STYLES
from torch import Tensor, nn
from torch.nn import functional as F

LAYOUTS = ("single", "background", "colour", "split", "beside", "above", "two", "three", "four", "big", *PLACES, *RELATIONS)
VERBS = 0.12
"""Of the dictionary's words that are drawn."""
VERB_FRAMES = ("{}", "it is {}", "someone is {}", "something {}")
NOUN_FRAMES = (with_article, with_article, with_article, str, plural)
LOOK_SIDE, LOOK_SIZE = 16, 160
"""Side of the small picture, and how many of its principal components are to be told."""


def facts_of(image: dict[str, Any], codes: dict[str, int]) -> dict[str, int]:
    """Class numbers of one picture of the data set; 0 is "none" for the second thing and for colours that are not there.

    "colour too" is the second thing's, or that of the furniture.
    """
    backgrounds, hues = list(BACKGROUNDS), list(HUES)
    objects = image.get("objects") or [{"emoji": image["emoji"], "colour": None}]
    background = image.get("background", ["white"])
    second = objects[1] if image["kind"] == "pair" else None
    colour_too = second["colour"] if second else image.get("furniture_colour")
    return {
        "first": codes[objects[0]["emoji"]],
        "second": 0 if second is None else 1 + codes[second["emoji"]],
        "style": STYLES.index(image["style"]),
        "background": backgrounds.index(background[0]),
        "background too": 0 if len(background) == 1 else 1 + backgrounds.index(background[1]) + len(backgrounds) * image["stacked"],
        "colour": 0 if objects[0]["colour"] is None else 1 + hues.index(objects[0]["colour"]),
        "colour too": 0 if colour_too is None else 1 + hues.index(colour_too),
        "layout": LAYOUTS.index(layout_of(image)),
    }


def layout_of(image: dict[str, Any]) -> str:
    objects, kind = image.get("objects", []), image["kind"]
    if kind == "pair":
        (a, b) = objects
        return "above" if abs(a["y"] - b["y"]) > abs(a["x"] - b["x"]) else "beside"
    if kind == "count":
        return {2: "two", 3: "three", 4: "four"}[len(objects)]
    if kind == "relation":
        return str(image["relation"])
    if kind in ("sized", "described") and objects[0]["side"] > HALF:
        return "big"
    if kind in ("placed", "sized", "described"):
        x, y = objects[0]["x"] / image["width"], objects[0]["y"] / image["height"]
        return min(PLACES, key=lambda name: (PLACES[name].x - x) ** 2 + (PLACES[name].y - y) ** 2)
    return kind


def class_counts(codes: dict[str, int]) -> dict[str, int]:
    backgrounds, hues = len(BACKGROUNDS), len(HUES)
    counts = {"first": len(codes), "second": 1 + len(codes), "style": len(STYLES), "background": backgrounds}
    counts |= {"background too": 1 + 2 * backgrounds, "colour": 1 + hues, "colour too": 1 + hues, "layout": len(LAYOUTS)}
    return counts


def small_pictures(folder: Path, names: Sequence[str]) -> Tensor:
    """(N, LOOK_SIDE, LOOK_SIDE, 3) uint8."""
    small = {}
    for name in dict.fromkeys(names):
        with Image.open(folder / name) as picture:
            resized = picture.convert("RGB").resize((LOOK_SIDE, LOOK_SIDE), Image.Resampling.BOX)
        small[name] = torch.frombuffer(bytearray(resized.tobytes()), dtype=torch.uint8)
    return torch.stack([small[name] for name in names]).unflatten(1, (LOOK_SIDE, LOOK_SIDE, 3))


def looks_of(small: Tensor) -> Tensor:
    """(N, LOOK_SIZE): principal components of small pictures, those of little variance raised, of unit variance in all."""
    values = small.flatten(1).float() / 127.5 - 1
    values = values - values.mean(0)
    spread, directions = torch.linalg.eigh(values.T @ values / len(values))
    best = slice(len(spread) - LOOK_SIZE, None)
    parts = values @ directions[:, best] * (spread[best] + 1e-6 * spread[-1]) ** -0.25
    return parts / parts.std()


class Readers(nn.Module):
    """One linear map per question. Thrown away when the tower is trained."""

    def __init__(self, width: int, counts: dict[str, int], cell: int) -> None:
        """cell: values of a cell of the sketch."""
        super().__init__()
        self.names = list(counts)
        self.maps = nn.ModuleList([nn.Linear(width, count) for count in counts.values()])
        self.look = nn.Linear(width, LOOK_SIZE)
        self.sketch = SketchReader(width, cell)
        self.thing, self.thing_look = nn.Linear(width, counts["first"]), nn.Linear(width, LOOK_SIZE)

    def named(self, states: Tensor, things: Tensor, looks: Tensor) -> dict[str, Tensor]:
        """states: (M, width) where a thing's name ends; things: (M,) its class; looks: (M, LOOK_SIZE) of it alone in the default style."""
        return {"thing": F.cross_entropy(self.thing(states), things), "thing look": F.mse_loss(self.thing_look(states), looks)}

    def loss(self, states: Tensor, facts: dict[str, Tensor], looks: Tensor) -> dict[str, Tensor]:
        """states: (B, width); facts: (B,) each; looks: (B, LOOK_SIZE)."""
        losses = {name: F.cross_entropy(reader(states), facts[name]) for name, reader in zip(self.names, self.maps, strict=True)}
        losses["look"] = F.mse_loss(self.look(states), looks)
        return losses


@dataclass(frozen=True, slots=True)
class Word:
    """One that no caption holds; noun: the known one that it is nearest to."""

    word: str
    noun: str
    is_verb: bool = False

    def alone(self, rng: random.Random) -> str:
        """As a whole caption: "a hound", now and then "hound" or "hounds"; "raining", "it is raining"."""
        if self.is_verb:
            return rng.choice(VERB_FRAMES).format(self.word)
        return str(rng.choice(NOUN_FRAMES)(self.word))

    def after(self, before: str) -> str:
        """Behind the beginning of a caption, whose article is made to agree with it."""
        article = re.search(r"\ban? $", before)
        return before[: article.start()] + with_article(self.word) if article else before + self.word


@dataclass
class Dictionary:
    """Words that no caption holds, drawn by how much they are used."""

    nouns: dict[str, list[str]]
    """Words by the noun that they are nearest to."""
    verbs: list[tuple[str, str]]
    use: dict[str, float]
    """Zipf frequency of every word: the logarithm, base 10, of its number in a thousand million."""

    def __post_init__(self) -> None:
        self.known = list(self.nouns)
        self.shares = {noun: [2 ** self.use[word] for word in words] for noun, words in self.nouns.items()}
        """A word that is used ten times as much is drawn twice as often."""
        self.known_shares = [sum(shares) for shares in self.shares.values()]
        self.verb_shares = [2 ** self.use[verb] for verb, _ in self.verbs]

    def word(self, rng: random.Random) -> Word:
        """One of them, the more used the sooner."""
        if rng.random() < VERBS:
            verb, noun = rng.choices(self.verbs, self.verb_shares)[0]
            return Word(verb, noun, is_verb=True)
        noun = rng.choices(self.known, self.known_shares)[0]
        return Word(rng.choices(self.nouns[noun], self.shares[noun])[0], noun)


def by_noun(phrases: dict[str, list[str]], emoji_nouns: dict[str, str], codes: dict[str, int]) -> dict[str, list[int]]:
    """The emoji that each noun may mean, as class numbers."""
    found = defaultdict(list)
    for code, noun in emoji_nouns.items():
        if code in codes and noun in phrases:
            found[noun].append(codes[code])
    return dict(found)
