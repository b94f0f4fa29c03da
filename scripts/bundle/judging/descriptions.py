"""How pictures of described and coloured things are looked at. All take what was asked for each, and pictures (N, 3, 64, 64) uint8."""

from collections.abc import Sequence

import composition
from torch import Tensor

from judging.asked import Asked
from judging.colours import BIG, border_colours, extents, main_hues, on_white
from judging.figures import Figure, share
from judging.judge import Judge
from judging.looks import Looked
from judging.matching import halves

LUCK = 1 / len(composition.HUES)


def adjectives(judge: Judge, asked: Sequence[Asked], pictures: Tensor) -> Looked:
    """The named hue that most colourful pixels are nearest to; and, where a size is named, whether what is drawn has it."""
    hues = [seen == one.colours[0] for seen, one in zip(main_hues(pictures), asked, strict=True)]
    sizes = [one.size in ("", "big" if extent > BIG else "small") for extent, one in zip(extents(pictures), asked, strict=True)]
    hits = [a and b for a, b in zip(hues, sizes, strict=True)]
    named = [hit for hit, one in zip(sizes, asked, strict=True) if one.size]
    figures = [
        Figure(name="adjective and colour: both right", value=share(hits), cases=len(hits), chance=LUCK / 2, bound=0.85),
        Figure(name="  the colour, 1 of 7", value=share(hues), cases=len(hues), chance=LUCK),
        Figure(name="  the size, where one is named", value=share(named), cases=len(named), chance=1 / 2),
    ]
    return figures, hits


def coloured_on_colour(judge: Judge, asked: Sequence[Asked], pictures: Tensor) -> Looked:
    """The ground by the mean of the edge; the thing's hue by what is left when the ground is taken away."""
    grounds = [one.colours[1] for one in asked]
    right_ground = [seen == ground for seen, ground in zip(border_colours(pictures), grounds, strict=True)]
    right_hue = [seen == one.colours[0] for seen, one in zip(main_hues(on_white(pictures, grounds)), asked, strict=True)]
    hits = [a and b for a, b in zip(right_ground, right_hue, strict=True)]
    return [Figure(name="coloured thing on a coloured ground: both", value=share(hits), cases=len(hits), chance=LUCK / 10)], hits


def two_coloured(judge: Judge, asked: Sequence[Asked], pictures: Tensor) -> Looked:
    """The hue of each half."""
    left, right = (main_hues(half) for half in halves(pictures, above=False))
    hits = [(a, b) == one.colours for a, b, one in zip(left, right, asked, strict=True)]
    return [Figure(name="two coloured things: both colours", value=share(hits), cases=len(hits), chance=LUCK**2)], hits
