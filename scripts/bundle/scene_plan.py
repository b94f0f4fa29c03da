"""Choose composed pictures and say what they show: the same numbers give the same scenes. Held-out combinations never occur.

Objects have two sizes and lie on the grid of the half-size latents (16 pixels), so that their latents are the same wherever they lie:
a U-Net of 11 M weights has each of them to learn once. (Those few that would hide the background are of a third size, on an 8-pixel grid.)
For the same reason small ones are as the first set draws them, never mirrored: in hours it learns one small drawing of a thing, not six.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import composition as words
from captions import phrases_of, with_article, without_article
from furniture import painted, woods
from scene_words import Speaker, Thing, with_captions
from scenes import SIDE, Placed, Scene, fills_its_square, takes_colour
from sources import SETS, Emoji, PictureSet, find_picture
from variations import is_mirrored

KINDS = {
    "background": 8000,
    "split": 2500,
    "placed": 3000,
    "sized": 3000,
    "described": 5000,
    "pair": 22000,
    "count": 4000,
    "colour": 5000,
    "relation": 6000,
}
"""How many scenes of each kind."""
OF_SMALL_THINGS = ("placed", "sized", "described", "pair", "count", "relation")
"""The kinds that show things at half their size."""


def things_of(emoji: Sequence[Emoji], packages: Path, everyday: dict[str, list[str]], sets: Sequence[PictureSet] = SETS) -> list[Thing]:
    """Each with its drawing in every one of `sets`, the first of SETS."""
    things = []
    for one in emoji:
        phrases = phrases_of(one, everyday)
        paths = tuple(find_picture(packages, drawings, one) for drawings in sets)
        things.append(Thing(one, without_article(phrases[0]), tuple(phrases[:3]), paths))
    return things


def plan_scenes(things: Sequence[Thing], shares: dict[str, int] | None = None) -> Iterator[Scene]:
    """All scenes, kind by kind."""
    simple = [thing for thing in things if thing.is_simple]
    several = [thing for thing in simple if thing.phrases[0].startswith(("a ", "an "))]
    paintable = [thing for thing in things if thing.noun in words.RECOLOURED]
    pools = dict.fromkeys(KINDS, simple) | {"background": things, "split": things, "count": several}
    pools |= {"colour": paintable, "described": paintable}
    for kind, number in (shares or KINDS).items():
        for index in range(number):
            yield Planner(random.Random(f"{kind} {index}"), pools[kind], kind).plan()


class Planner:
    """One scene, drawn from one generator."""

    def __init__(self, rng: random.Random, pool: Sequence[Thing], kind: str) -> None:
        self.rng, self.pool, self.kind = rng, pool, kind
        self.turn = 0 if kind in OF_SMALL_THINGS else rng.randrange(len(pool[0].paths))
        self.say = Speaker(rng)

    def plan(self) -> Scene:
        planned = {
            "background": self._on_colour,
            "split": self._on_two_colours,
            "placed": self._small_thing,
            "sized": self._sized,
            "described": self._described,
            "pair": self._pair,
            "count": self._count,
            "colour": self._painted,
            "relation": self._related,
        }
        return planned[self.kind]()

    def _on_colour(self) -> Scene:
        thing = self._thing()
        colour = self._colour_for(thing)
        return self._scene("background", (self._alone(thing),), [self.say.on(self.say.called(thing), colour) for _ in range(2)], (colour,))

    def _on_two_colours(self) -> Scene:
        thing = self._thing()
        first, second = self._colour_for(thing), self._colour_for(thing)
        while second == first:
            second = self._colour_for(thing)
        stacked = self.rng.random() < 0.5
        frames = words.STACKED_SPLIT if stacked else words.BESIDE_SPLIT
        said = [frame.format(thing=self.say.called(thing), first=first, a_first=with_article(first), second=second) for frame in frames]
        return replace(self._scene("split", (self._alone(thing),), said, (first, second)), stacked=stacked)

    def _small_thing(self) -> Scene:
        thing = self._thing()
        place = words.PLACES[self.rng.choice(list(words.PLACES))]
        paint = self._paint(thing, 0.3, adjective=True)
        colour = self._maybe_colour(thing, unlike=[paint])
        placed = self._placed(thing, (place.x, place.y), words.HALF, paint)
        said = [f"{self.say.sized(thing, 'small', paint)} {self.rng.choice(place.names)}" for _ in range(2)]
        return self._scene("placed", (placed,), [self.say.on(text, colour) for text in said], (colour,))

    def _sized(self) -> Scene:
        thing, size = self._thing(), self.rng.choice(list(words.SIZES))
        paint = self._paint(thing, 0.3, adjective=True)
        colour = self._maybe_colour(thing, unlike=[paint])
        said = [self.say.on(self.say.sized(thing, size, paint), colour) for _ in range(2)]
        return self._scene("sized", (self._of_size(thing, size, paint),), said, (colour,))

    def _described(self) -> Scene:
        thing, paint = self._painted_thing(adjective=True)
        size = self.rng.choices(list(words.SIZES), (3, 1))[0]
        colour = self._maybe_colour(thing, unlike=[paint])
        said = [self.say.on(self.say.described(thing, paint, size), colour) for _ in range(2)]
        return self._scene("described", (self._of_size(thing, size, paint),), said, (colour,))

    def _pair(self) -> Scene:
        first, second = self._thing(), self._thing()
        while first.noun == second.noun or words.kept_back("pair", first.noun, second.noun):
            second = self._thing()
        things, paints = (first, second), [self._paint(thing, 0.35) for thing in (first, second)]
        colour = self._maybe_colour(*things, unlike=paints)
        stacked = self.rng.random() < 0.45
        centres = ((0.5, 0.25), (0.5, 0.75)) if stacked else ((0.25, 0.5), (0.75, 0.5))
        objects = [self._placed(thing, at, words.HALF, paint) for thing, paint, at in zip(things, paints, centres, strict=True)]
        frames = words.ABOVE if stacked else words.BESIDE
        if not stacked and self.rng.random() < 0.3:
            frames = words.UNORDERED
        said = []
        for frame in self.rng.sample(frames, 2):
            called = [self.say.called(thing, paint) for thing, paint in zip(things, paints, strict=True)]
            said.append(self.say.on(frame.format(first=called[0], second=called[1]), colour))
        return self._scene("pair", tuple(objects), said, (colour,))

    def _count(self) -> Scene:
        thing, number = self._thing(), self.rng.choice(list(words.COUNTS))
        colour = self._maybe_colour(thing)
        objects = tuple(self._placed(thing, at, words.HALF) for at in words.COUNT_CENTRES[number])
        frames = self.rng.sample(words.COUNTS[number], 2)
        said = [frame.format(things=words.plural(without_article(self.say.called(thing)))) for frame in frames]
        return self._scene("count", objects, [self.say.on(text, colour) for text in said], (colour,))

    def _painted(self) -> Scene:
        thing, paint = self._painted_thing()
        colour = self._maybe_colour(thing, share=0.5, unlike=[paint])
        said = [self.say.on(self.say.called(thing, paint), colour) for _ in range(2)]
        return self._scene("colour", (self._alone(thing, paint),), said, (colour,))

    def _related(self) -> Scene:
        relation, thing = self.rng.choice(list(words.RELATIONS)), self._thing()
        while words.kept_back("relation", thing.noun, relation):
            thing = self._thing()
        paint = self._paint(thing, 0.2)
        ground = self._maybe_colour(thing, unlike=[paint])
        hue = self.rng.choice([hue for hue in words.HUES if hue != ground]) if self.rng.random() < 0.3 else None
        said = [self.say.on(self.say.related(self.say.called(thing, paint), relation, hue), ground) for _ in range(2)]
        placed = self._placed(thing, words.RELATIONS[relation].centre, words.HALF, paint)
        colour = painted(hue) if hue else woods(relation, self.rng.randrange(5))
        return replace(self._scene("relation", (placed,), said, (ground,)), relation=(relation, colour), furniture_colour=hue)

    def _thing(self) -> Thing:
        """One that this set draws."""
        while (thing := self.rng.choice(self.pool)).paths[self.turn] is None:
            pass
        return thing

    def _painted_thing(self, *, adjective: bool = False) -> tuple[Thing, str]:
        while (paint := self._paint(thing := self._thing(), 1.0, adjective=adjective)) is None:
            pass
        return thing, paint

    def _alone(self, thing: Thing, colour: str | None = None) -> Placed:
        """In the middle: as large as on white, or smaller where it would hide the background."""
        path = thing.paths[self.turn]
        assert path is not None
        return self._placed(thing, (0.5, 0.5), 3 * SIDE // 4 if fills_its_square(path) else SIDE, colour)

    def _of_size(self, thing: Thing, size: str, colour: str | None) -> Placed:
        return self._alone(thing, colour) if size == "big" else self._placed(thing, (0.5, 0.5), words.HALF, colour)

    def _placed(self, thing: Thing, centre: tuple[float, float], side: int, colour: str | None = None) -> Placed:
        """centre: in shares of the side."""
        path = thing.paths[self.turn]
        assert path is not None
        mirrored = side > words.HALF and is_mirrored(thing.emoji, self.turn)
        return Placed(emoji=thing.emoji, path=path, x=centre[0] * SIDE, y=centre[1] * SIDE, side=side, colour=colour, mirrored=mirrored)

    def _colour_for(self, *things: Thing, unlike: Sequence[str | None] = ()) -> str:
        """A background that none of the things is kept from, and none of the colours that they are painted in."""
        free = [colour for colour in words.BACKGROUNDS if not any(words.kept_back("background", t.noun, colour) for t in things)]
        return self.rng.choice([colour for colour in free if colour not in unlike])

    def _maybe_colour(self, *things: Thing, share: float = 0.3, unlike: Sequence[str | None] = ()) -> str:
        return self._colour_for(*things, unlike=unlike) if self.rng.random() < share else "white"

    def _paint(self, thing: Thing, share: float, *, adjective: bool = False) -> str | None:
        """A colour for a thing that comes in colours, in `share` of the cases. adjective: to be said after one."""
        path = thing.paths[self.turn]
        if thing.noun not in words.RECOLOURED or self.rng.random() >= share or path is None or not takes_colour(path):
            return None
        kinds = ("colour", "adjective") if adjective else ("colour",)
        return self.rng.choice([hue for hue in words.HUES if not any(words.kept_back(kind, thing.noun, hue) for kind in kinds)])

    def _scene(self, kind: str, objects: tuple[Placed, ...], said: list[str], background: tuple[str, ...]) -> Scene:
        drawings = SETS[self.turn]
        scene = Scene(kind=kind, style=drawings.style, licence=drawings.licence, objects=objects, background=background)
        return replace(scene, captions=with_captions(scene, said, self.say))
