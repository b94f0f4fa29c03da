"""What captions say of a composed picture: things, their sizes and colours, grounds and styles. Knows no pictures."""

import random
from dataclasses import dataclass
from pathlib import Path

import composition as words
from captions import with_article, without_article
from scenes import Scene
from sources import Emoji

LANDSCAPES = {"place-geographic", "place-map", "place-other", "sky & weather"}
THINGS = {"Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects"}
STYLED = 0.3
"""Share of scenes whose captions name the style."""


@dataclass(frozen=True, slots=True)
class Thing:
    """An emoji that scenes are made of. noun: its main phrase without article; phrases: how captions call it."""

    emoji: Emoji
    noun: str
    phrases: tuple[str, ...]
    paths: tuple[Path | None, ...]
    """Its picture in each of the sets, the first of sources.SETS."""

    @property
    def is_simple(self) -> bool:
        """Whether it may stand beside others: called by one word, and no landscape that fills its square."""
        return len(self.noun.split()) == 1 and self.emoji.category in THINGS and self.emoji.subcategory not in LANDSCAPES


@dataclass(frozen=True, slots=True)
class Speaker:
    """Says things in one of the ways that are true, drawn from one generator."""

    rng: random.Random

    def called(self, thing: Thing, paint: str | None = None) -> str:
        """Mostly the main phrase. A painted thing is called by its noun."""
        if paint is not None:
            return self.with_adjective(paint, thing)
        return thing.phrases[0] if self.rng.random() < 0.6 else self.rng.choice(thing.phrases)

    def with_adjective(self, adjective: str, thing: Thing, phrase: str | None = None) -> str:
        """ "big" or "big red": "a dog" -> "a big dog", "gloves" -> "big gloves". phrase: another than the noun."""
        noun = f"{adjective} {without_article(phrase or thing.noun)}"
        return with_article(noun) if (phrase or thing.phrases[0]).startswith(("a ", "an ")) else noun

    def sized(self, thing: Thing, size: str, paint: str | None = None) -> str:
        """size: of composition.SIZES."""
        word = self.rng.choice(words.SIZES[size])
        return self.with_adjective(f"{word} {paint}", thing) if paint else self.with_adjective(word, thing, self.called(thing))

    def described(self, thing: Thing, paint: str, size: str) -> str:
        """An adjective before the colour: of its size or of no matter."""
        word = self.rng.choice(words.SIZES[size] if size == "small" or self.rng.random() < 0.6 else words.LOOKS)
        return self.with_adjective(f"{word} {paint}", thing)

    def on(self, text: str, colour: str) -> str:
        """With its ground; white is mostly left unsaid."""
        if colour == "white" and self.rng.random() < 0.7:
            return text
        return self.rng.choice(words.ON_BACKGROUND).format(thing=text, colour=colour, a_colour=with_article(colour))

    def related(self, text: str, relation: str, colour: str | None) -> str:
        """A thing in, on or under its furniture. colour: of that, where it is said."""
        one = words.RELATIONS[relation]
        furniture = with_article(f"{colour} {one.furniture}" if colour else one.furniture)
        return self.rng.choice(one.frames).format(thing=text, a_box=furniture)

    def styled(self, text: str, style: str) -> str:
        return self.rng.choice((f"{text}, {style}", f"{text} in {style}", f"{with_article(style)} picture of {text}"))


def with_captions(scene: Scene, said: list[str], speaker: Speaker) -> tuple[str, ...]:
    """The captions once each, some scenes with the style's name."""
    if speaker.rng.random() < STYLED:
        said = [speaker.styled(text, scene.style) for text in said]
    return tuple(dict.fromkeys(said))
