"""Composed prompts for the test: drawn with fixed seeds from the language of composition.py, of combinations that training never shows.

Counts and places have no such combinations: every thing is seen in some of them.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, product

import captions
import composition
from composition import kept_back

from judging.things import Thing

PER_COLOUR = 10
SPLITS, PAIRS, RECOLOURED = 20, 60, 60
PER_COUNT, PER_PLACE, PER_RELATION = 20, 5, 15
DESCRIBED, COLOURED = 60, 40
ADJECTIVES = ("big", "small", "cute", "large", "old", "little", "huge", "shiny", "tiny", "new")


@dataclass(frozen=True)
class Asked:
    """A composed prompt and what its picture must hold. colours: of the background, or of the things, then of
    the background; first thing: left or above."""

    prompt: str
    things: tuple[Thing, ...]
    colours: tuple[str, ...] = ()
    place: str = ""
    """Of composition.PLACES, or the relation to a piece of furniture."""
    count: int = 1
    size: str = ""
    """Of composition.SIZES, where one is named."""


def on_backgrounds(things: Sequence[Thing]) -> list[Asked]:
    """One thing on each named colour but white, which no caption needs to name."""
    asked = []
    for colour in [name for name in composition.BACKGROUNDS if name != "white"]:
        unseen = [thing for thing in things if kept_back("background", thing.noun, colour)]
        chosen = random.Random(colour).sample(unseen, PER_COLOUR)
        for thing, frame in zip(chosen, cycle(composition.ON_BACKGROUND), strict=False):
            prompt = frame.format(thing=thing.prompt, colour=colour, a_colour=captions.with_article(colour))
            asked.append(Asked(prompt, (thing,), (colour,)))
    return asked


def on_split_backgrounds(things: Sequence[Thing], *, stacked: bool) -> list[Asked]:
    """One thing on two colours, both of which it is never seen on. stacked: one above the other."""
    frames = composition.STACKED_SPLIT if stacked else composition.BESIDE_SPLIT
    pairs = [(a, b) for a, b in product(composition.BACKGROUNDS, repeat=2) if a != b]
    unseen = [(t, a, b) for t in things for a, b in pairs if kept_back("background", t.noun, a) and kept_back("background", t.noun, b)]
    chosen = random.Random(f"split {stacked}").sample(unseen, SPLITS)
    return [
        Asked(frame.format(thing=thing.prompt, first=first, a_first=captions.with_article(first), second=second), (thing,), (first, second))
        for (thing, first, second), frame in zip(chosen, cycle(frames), strict=False)
    ]


def in_relation(things: Sequence[Thing], *, above: bool) -> list[Asked]:
    """Two things that never occur together, the first on the left of the second or above it; no thing can pass for the other."""
    rng, frames = random.Random(f"relation {above}"), composition.ABOVE if above else composition.BESIDE
    asked: list[Asked] = []
    while len(asked) < PAIRS:
        first, second = rng.sample(list(things), 2)
        if kept_back("pair", first.noun, second.noun) and not set(first.emoji) & set(second.emoji):
            frame = frames[len(asked) % len(frames)]
            asked.append(Asked(frame.format(first=first.prompt, second=second.prompt), (first, second)))
    return asked


def recoloured(things: Sequence[Thing]) -> list[Asked]:
    """A thing in a colour that it never has."""
    known = [thing for thing in things if thing.noun in composition.RECOLOURED]
    unseen = [(thing, colour) for thing, colour in product(known, composition.HUES) if kept_back("colour", thing.noun, colour)]
    chosen = random.Random("recoloured").sample(unseen, min(RECOLOURED, len(unseen)))
    return [Asked(_adjective(colour, thing), (thing,), (colour,)) for thing, colour in chosen]


def counted(things: Sequence[Thing]) -> list[Asked]:
    """Two, three or four of a thing that can be counted."""
    countable = [thing for thing in things if thing.prompt.startswith(("a ", "an "))]
    asked = []
    for count, frames in composition.COUNTS.items():
        chosen = random.Random(f"count {count}").sample(countable, PER_COUNT)
        for thing, frame in zip(chosen, cycle(frames), strict=False):
            asked.append(Asked(frame.format(things=composition.plural(thing.noun)), (thing,), count=count))
    return asked


def placed(things: Sequence[Thing]) -> list[Asked]:
    """A small thing in each of the nine places."""
    asked = []
    for name, place in composition.PLACES.items():
        chosen = random.Random(name).sample(list(things), PER_PLACE)
        for thing, words in zip(chosen, cycle(place.names), strict=False):
            asked.append(Asked(f"{_adjective('small', thing)} {words}", (thing,), place=name))
    return asked


def described(things: Sequence[Thing]) -> list[Asked]:
    """An adjective before a colour, of things that never have one before that colour: "a big red bus"."""
    known = [thing for thing in things if thing.noun in composition.RECOLOURED]
    unseen = [
        (thing, hue)
        for thing, hue in product(known, composition.HUES)
        if kept_back("adjective", thing.noun, hue) and not kept_back("colour", thing.noun, hue)
    ]
    chosen = random.Random("described").sample(list(product(unseen, ADJECTIVES)), DESCRIBED)
    sizes = {word: size for size, words in composition.SIZES.items() for word in words}
    return [Asked(_adjective(f"{word} {hue}", thing), (thing,), (hue,), size=sizes.get(word, "")) for (thing, hue), word in chosen]


def coloured_on_colour(things: Sequence[Thing]) -> list[Asked]:
    """A coloured thing on a coloured ground that it is never seen on: the thing's colour, then the ground's."""
    known = [thing for thing in things if thing.noun in composition.RECOLOURED]
    unseen = [
        (thing, hue, ground)
        for thing, hue, ground in product(known, composition.HUES, composition.BACKGROUNDS)
        if hue != ground != "white" and kept_back("background", thing.noun, ground) and not kept_back("colour", thing.noun, hue)
    ]
    chosen = random.Random("coloured on colour").sample(unseen, min(COLOURED, len(unseen)))
    frames = cycle(composition.ON_BACKGROUND)
    return [
        Asked(frame.format(thing=_adjective(hue, thing), colour=ground, a_colour=captions.with_article(ground)), (thing,), (hue, ground))
        for (thing, hue, ground), frame in zip(chosen, frames, strict=False)
    ]


def two_coloured(things: Sequence[Thing]) -> list[Asked]:
    """Two things that never occur together, each in a colour of its own, left and right."""
    known = [thing for thing in things if thing.noun in composition.RECOLOURED]
    rng, asked = random.Random("two coloured"), list[Asked]()
    while len(asked) < COLOURED:
        (first, second), hues = rng.sample(known, 2), rng.sample(list(composition.HUES), 2)
        seen = not any(kept_back("colour", thing.noun, hue) for thing, hue in zip((first, second), hues, strict=True))
        if kept_back("pair", first.noun, second.noun) and seen:
            said = [_adjective(hue, thing) for thing, hue in zip((first, second), hues, strict=True)]
            frame = composition.BESIDE[len(asked) % len(composition.BESIDE)]
            asked.append(Asked(frame.format(first=said[0], second=said[1]), (first, second), tuple(hues)))
    return asked


def furnished(things: Sequence[Thing]) -> list[Asked]:
    """A thing in, on or under what it is never seen in, on or under."""
    asked = []
    for name, relation in composition.RELATIONS.items():
        unseen = [thing for thing in things if kept_back("relation", thing.noun, name)]
        chosen = random.Random(name).sample(unseen, min(PER_RELATION, len(unseen)))
        furniture = captions.with_article(relation.furniture)
        for thing, frame in zip(chosen, cycle(relation.frames), strict=False):
            asked.append(Asked(frame.format(thing=thing.prompt, a_box=furniture), (thing,), place=name))
    return asked


def _adjective(word: str, thing: Thing) -> str:
    """ "an owl" and "small" -> "a small owl"; "gloves" and "orange" -> "orange gloves"."""
    described = f"{word} {thing.noun}"
    return described if thing.prompt == thing.noun else captions.with_article(described)
