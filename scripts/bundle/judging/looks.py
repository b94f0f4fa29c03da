"""How each kind of composed picture is looked at. All take what was asked for each picture, and pictures (N, 3, 64, 64) uint8."""

from collections.abc import Callable, Sequence

import composition
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from judging.asked import Asked
from judging.colours import border_colours, main_hues, nearest_places
from judging.drawing import SIDE, fingerprint
from judging.figures import Figure, share
from judging.judge import Judge
from judging.matching import halves
from judging.things import Thing, Wardrobe

Looked = tuple[list[Figure], list[bool]]


def backgrounds(judge: Judge, asked: Sequence[Asked], pictures: Tensor) -> Looked:
    """The colour by the mean of the edge; the thing by the nearest of all drawings on that colour (L2 of 32 x 32 RGB)."""
    hits = [seen == one.colours[0] for seen, one in zip(border_colours(pictures), asked, strict=True)]
    prints, known = fingerprint(pictures), [False] * len(asked)
    for colour in dict.fromkeys(one.colours[0] for one in asked):
        drawn = fingerprint(judge.wardrobe.all_drawn(SIDE, colour))
        rows = [row for row, one in enumerate(asked) if one.colours[0] == colour]
        for row, nearest in zip(rows, torch.cdist(prints[rows], drawn).argmin(dim=1).tolist(), strict=True):
            known[row] = judge.matcher.codes[nearest] in asked[row].things[0].emoji
    figures = [
        Figure(name="background colour, 1 of 10", value=share(hits), cases=len(hits), chance=1 / 10, bound=0.97),
        Figure(name="  the thing on it", value=share(known), cases=len(known), chance=blind(judge.wardrobe, asked)),
    ]
    return figures, [a and b for a, b in zip(hits, known, strict=True)]


def split_backgrounds(first: str, second: str) -> Callable[[Judge, Sequence[Asked], Tensor], Looked]:
    """first, second: the parts that the two colours belong to."""

    def look(judge: Judge, asked: Sequence[Asked], pictures: Tensor) -> Looked:
        seen = zip(border_colours(pictures, first), border_colours(pictures, second), strict=True)
        hits = [pair == one.colours for pair, one in zip(seen, asked, strict=True)]
        return [Figure(name=f"two colours, {first} and {second}", value=share(hits), cases=len(hits), chance=1 / 100)], hits

    return look


def relations(*, above: bool) -> Callable[[Judge, Sequence[Asked], Tensor], Looked]:
    """Found: each half fits one of the two things best among all emoji. In order: the halves fit better so than the other way round."""
    name = "above, below" if above else "left, right"

    def look(judge: Judge, asked: Sequence[Asked], pictures: Tensor) -> Looked:
        matcher, emoji = judge.matcher, len(judge.wardrobe.emoji)
        one, other = (matcher.distances(half) for half in halves(pictures, above=above))
        found, ordered = [], []
        for row, (a, b) in enumerate(want.things for want in asked):
            nearest = [matcher.codes[int(side[row].argmin())] for side in (one, other)]
            found.append(is_pair(nearest, a, b) or is_pair(nearest, b, a))
            fit = {(side, thing): matcher.to_thing(far[row], thing) for side, far in enumerate((one, other)) for thing in (a, b)}
            ordered.append(fit[0, a] + fit[1, b] < fit[0, b] + fit[1, a])
        luck = sum(2 * len(w.things[0].emoji) * len(w.things[1].emoji) for w in asked) / len(asked) / emoji**2
        figures = [
            Figure(name=f"{name}: right way round", value=share(ordered), cases=len(ordered), chance=1 / 2, bound=0.97),
            Figure(name=f"  both found of {emoji}", value=share(found), cases=len(found), chance=luck, bound=0.90),
        ]
        return figures, [a and b for a, b in zip(ordered, found, strict=True)]

    return look


def is_pair(codes: Sequence[str], first: Thing, second: Thing) -> bool:
    return codes[0] in first.emoji and codes[1] in second.emoji


def counts(judge: Judge, asked: Sequence[Asked], pictures: Tensor) -> Looked:
    """Whether the picture is nearest (L2 of 32 x 32 RGB) to renderings of as many as were asked for, of one to four."""
    hits = []
    for one, print_ in zip(asked, fingerprint(pictures), strict=True):
        away = {
            n: (fingerprint(laid_out(judge.wardrobe, one.things[0], n)) - print_).square().sum(dim=1).min().item() for n in (1, 2, 3, 4)
        }
        hits.append(min(away, key=lambda n: away[n]) == one.count)
    return [Figure(name="counts, 1 of 4", value=share(hits), cases=len(hits), chance=1 / 4)], hits


def laid_out(wardrobe: Wardrobe, thing: Thing, count: int) -> Tensor:
    """One of the thing as usual, or `count` small ones on white, for each of its drawings: (drawings, 3, SIDE, SIDE) uint8."""
    side, centres = (SIDE, [(0.5, 0.5)]) if count == 1 else (composition.HALF, composition.COUNT_CENTRES[count])
    sheets = []
    for one in (drawing for code in thing.emoji for drawing in wardrobe.of(code)):
        sheet = Image.new("RGB", (SIDE, SIDE), "white")
        for x, y in centres:
            sheet.paste(wardrobe.draw(one, side), (round(x * SIDE - side / 2), round(y * SIDE - side / 2)))
        sheets.append(np.asarray(sheet))
    return torch.from_numpy(np.stack(sheets)).permute(0, 3, 1, 2)


def hues(judge: Judge, asked: Sequence[Asked], pictures: Tensor) -> Looked:
    """The named hue that most of the colourful pixels are nearest to."""
    hits = [seen == one.colours[0] for seen, one in zip(main_hues(pictures), asked, strict=True)]
    luck = 1 / len(composition.HUES)
    return [Figure(name="colour of the thing, 1 of 7", value=share(hits), cases=len(hits), chance=luck, bound=0.85)], hits


def places(judge: Judge, asked: Sequence[Asked], pictures: Tensor) -> Looked:
    """The named place nearest to the thing's centre of mass."""
    hits = [seen == one.place for seen, one in zip(nearest_places(pictures), asked, strict=True)]
    return [Figure(name="place, 1 of 9", value=share(hits), cases=len(hits), chance=1 / len(composition.PLACES))], hits


def blind(wardrobe: Wardrobe, asked: Sequence[Asked]) -> float:
    """How often an emoji taken at random would be the thing."""
    return sum(len(one.things[0].emoji) for one in asked) / len(asked) / len(wardrobe.emoji)
