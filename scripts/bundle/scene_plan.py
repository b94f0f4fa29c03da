"""Choose composed pictures and say what they show: the same numbers give the same scenes. Held-out combinations never occur.

Objects have two sizes and lie on the grid of the half-size latents (16 pixels), so that their latents are the same wherever they lie:
a U-Net of 11 M weights has each of them to learn once. (Those few that would hide the background are of a third size, on an 8-pixel grid.)
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import composition as words
from captions import phrases_of, with_article, without_article
from scenes import SIDE, Placed, Scene, fills_its_square
from sources import STYLES, Emoji, Style, find_picture

KINDS = {"background": 7000, "split": 2000, "placed": 3000, "pair": 26000, "count": 2000, "colour": 3000}
"""How many scenes of each kind."""
STYLE_SHARES = (0.86, 0.07, 0.07)
"""Of STYLES; the first is what a caption without a style means."""
LANDSCAPES = {"place-geographic", "place-map", "place-other", "sky & weather"}
THINGS = {"Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects"}


@dataclass(frozen=True, slots=True)
class Thing:
    """An emoji that scenes are made of. noun: its main phrase without article; phrases: how captions call it."""

    emoji: Emoji
    noun: str
    phrases: tuple[str, ...]
    paths: tuple[Path | None, ...]
    """Its picture in each of STYLES."""

    @property
    def is_simple(self) -> bool:
        """Whether it may stand beside others: called by one word, and no landscape that fills its square."""
        return len(self.noun.split()) == 1 and self.emoji.category in THINGS and self.emoji.subcategory not in LANDSCAPES


def things_of(emoji: Sequence[Emoji], packages: Path, everyday: dict[str, list[str]]) -> list[Thing]:
    things = []
    for one in emoji:
        phrases = phrases_of(one, everyday)
        paths = tuple(find_picture(packages, style, one) for style in STYLES)
        things.append(Thing(one, without_article(phrases[0]), tuple(phrases[:3]), paths))
    return things


def plan_scenes(things: Sequence[Thing], shares: dict[str, int] | None = None) -> Iterator[Scene]:
    """All scenes, kind by kind."""
    simple = [thing for thing in things if thing.is_simple]
    several = [thing for thing in simple if thing.phrases[0].startswith(("a ", "an "))]
    paintable = [thing for thing in things if thing.noun in words.RECOLOURED]
    planners = {"background": things, "split": things, "placed": simple, "pair": simple, "count": several, "colour": paintable}
    for kind, number in (shares or KINDS).items():
        for index in range(number):
            yield Planner(random.Random(f"{kind} {index}"), planners[kind]).plan(kind)


class Planner:
    """One scene, drawn from one generator."""

    def __init__(self, rng: random.Random, pool: Sequence[Thing]) -> None:
        self.rng, self.pool = rng, pool
        self.turn = rng.choices(range(len(STYLES)), STYLE_SHARES)[0]
        self.style: Style = STYLES[self.turn]

    def plan(self, kind: str) -> Scene:
        planned = {
            "background": self._on_colour,
            "split": self._on_two_colours,
            "placed": self._small_thing,
            "pair": self._pair,
            "count": self._count,
            "colour": self._painted,
        }
        return planned[kind]()

    def _on_colour(self) -> Scene:
        thing = self._thing()
        colour = self._colour_for(thing)
        placed = self._alone(thing)
        return self._scene("background", (placed,), [self._on(self._called(thing), colour) for _ in range(2)], (colour,))

    def _on_two_colours(self) -> Scene:
        thing = self._thing()
        first, second = self._colour_for(thing), self._colour_for(thing)
        while second == first:
            second = self._colour_for(thing)
        stacked = self.rng.random() < 0.5
        frames = words.STACKED_SPLIT if stacked else words.BESIDE_SPLIT
        said = [frame.format(thing=self._called(thing), first=first, a_first=with_article(first), second=second) for frame in frames]
        return self._scene("split", (self._alone(thing),), said, (first, second), stacked=stacked)

    def _small_thing(self) -> Scene:
        thing = self._thing()
        place = words.PLACES[self.rng.choice(list(words.PLACES))]
        colour = self._maybe_colour(thing)
        placed = self._placed(thing, place.x * SIDE, place.y * SIDE, words.HALF)
        said = [f"{self._small(self._called(thing))} {self.rng.choice(place.names)}" for _ in range(2)]
        return self._scene("placed", (placed,), [self._on(text, colour) for text in said], (colour,))

    def _pair(self) -> Scene:
        first, second = self._thing(), self._thing()
        while first.noun == second.noun or words.kept_back("pair", first.noun, second.noun):
            second = self._thing()
        colour = self._maybe_colour(first, second)
        paints = [self._paint(thing, 0.25) for thing in (first, second)]
        stacked = self.rng.random() < 0.45
        centres = ((0.5, 0.25), (0.5, 0.75)) if stacked else ((0.25, 0.5), (0.75, 0.5))
        objects = [
            self._placed(thing, x * SIDE, y * SIDE, words.HALF, paint)
            for thing, paint, (x, y) in zip((first, second), paints, centres, strict=True)
        ]
        frames = words.ABOVE if stacked else words.BESIDE
        if not stacked and self.rng.random() < 0.3:
            frames = words.UNORDERED
        said = []
        for frame in self.rng.sample(frames, 2):
            called = [self._called(thing, paint) for thing, paint in zip((first, second), paints, strict=True)]
            said.append(self._on(frame.format(first=called[0], second=called[1]), colour))
        return self._scene("pair", tuple(objects), said, (colour,))

    def _count(self) -> Scene:
        thing, number = self._thing(), self.rng.choice(list(words.COUNTS))
        colour = self._maybe_colour(thing)
        objects = tuple(self._placed(thing, x * SIDE, y * SIDE, words.HALF) for x, y in words.COUNT_CENTRES[number])
        frames = self.rng.sample(words.COUNTS[number], 2)
        said = [frame.format(things=words.plural(without_article(self._called(thing)))) for frame in frames]
        return self._scene("count", objects, [self._on(text, colour) for text in said], (colour,))

    def _painted(self) -> Scene:
        thing = self._thing()
        while (paint := self._paint(thing, 1.0)) is None:
            thing = self._thing()
        colour = self._maybe_colour(thing)
        said = [self._on(self._called(thing, paint), colour) for _ in range(2)]
        return self._scene("colour", (self._alone(thing, paint),), said, (colour,))

    def _thing(self) -> Thing:
        """One that this style draws."""
        while (thing := self.rng.choice(self.pool)).paths[self.turn] is None:
            pass
        return thing

    def _alone(self, thing: Thing, colour: str | None = None) -> Placed:
        """In the middle: as large as on white, or smaller where it would hide the background."""
        path = thing.paths[self.turn]
        assert path is not None
        return self._placed(thing, SIDE / 2, SIDE / 2, 3 * SIDE // 4 if fills_its_square(path) else SIDE, colour)

    def _placed(self, thing: Thing, x: float, y: float, side: int, colour: str | None = None) -> Placed:
        path = thing.paths[self.turn]
        assert path is not None
        return Placed(emoji=thing.emoji, path=path, x=x, y=y, side=side, colour=colour)

    def _colour_for(self, *things: Thing) -> str:
        """A background that none of the things is kept from."""
        return self.rng.choice([c for c in words.BACKGROUNDS if not any(words.kept_back("background", t.noun, c) for t in things)])

    def _maybe_colour(self, *things: Thing) -> str:
        return self._colour_for(*things) if self.rng.random() < 0.3 else "white"

    def _paint(self, thing: Thing, share: float) -> str | None:
        """A colour for a thing that comes in colours, in `share` of the cases."""
        if thing.noun not in words.RECOLOURED or self.rng.random() >= share:
            return None
        return self.rng.choice([colour for colour in words.HUES if not words.kept_back("colour", thing.noun, colour)])

    def _called(self, thing: Thing, paint: str | None = None) -> str:
        """Mostly the main phrase. A painted thing is called by its noun."""
        if paint is not None:
            noun = f"{paint} {thing.noun}"
            return noun if not thing.phrases[0].startswith(("a ", "an ")) else with_article(noun)
        return thing.phrases[0] if self.rng.random() < 0.6 else self.rng.choice(thing.phrases)

    def _small(self, phrase: str) -> str:
        """ "a dog" -> "a small dog"."""
        size = self.rng.choice(("small", "little", "tiny"))
        return f"a {size} {without_article(phrase)}" if phrase.startswith(("a ", "an ")) else f"{size} {without_article(phrase)}"

    def _on(self, text: str, colour: str) -> str:
        if colour == "white" and self.rng.random() < 0.7:
            return text
        return self.rng.choice(words.ON_BACKGROUND).format(thing=text, colour=colour, a_colour=with_article(colour))

    def _scene(
        self, kind: str, objects: tuple[Placed, ...], captions: Sequence[str], background: tuple[str, ...], *, stacked: bool = False
    ) -> Scene:
        if self.turn:
            captions = [self._styled(text) for text in captions]
        return Scene(
            kind=kind, style=self.style, objects=objects, background=background, stacked=stacked, captions=tuple(dict.fromkeys(captions))
        )

    def _styled(self, text: str) -> str:
        return self.rng.choice(
            (f"{text}, {self.style.name}", f"{text} in {self.style.name}", f"{with_article(self.style.name)} picture of {text}")
        )
