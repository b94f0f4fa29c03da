"""Whether a thing lies in, on or under the piece of furniture that was asked for. Pictures are (N, 3, 64, 64) uint8."""

from collections.abc import Sequence
from functools import cache

import composition
import numpy as np
import torch
from furniture import draw_furniture, woods
from PIL import Image
from torch import Tensor

from judging.asked import Asked
from judging.drawing import SIDE
from judging.figures import Figure, share
from judging.judge import Judge
from judging.looks import Looked, blind
from judging.things import Wardrobe

WOODS = 5
"""Colours of unnamed furniture."""
NONE = 0.15
"""RMSE beyond which the nearest furniture is none."""
AWAY = 2
"""Pixels that a thing may lie beside its place."""


def furnishings(judge: Judge, asked: Sequence[Asked], pictures: Tensor) -> Looked:
    """The furniture by the nearest of all, and of none, where the thing is not; the thing by the nearest of all drawings in its place."""
    furnished = [nearest_furniture(picture) == one.place for picture, one in zip(pictures, asked, strict=True)]
    found = [nearest_thing(judge.wardrobe, picture, one.place) in one.things[0].emoji for picture, one in zip(pictures, asked, strict=True)]
    hits = [a and b for a, b in zip(furnished, found, strict=True)]
    choices = len(composition.RELATIONS) + 1
    figures = [
        Figure(name="in, on, under: both right", value=share(hits), cases=len(hits), chance=0.0, bound=0.75),
        Figure(name=f"  the furniture, 1 of {choices}", value=share(furnished), cases=len(furnished), chance=1 / choices),
        Figure(name="  the thing in its place", value=share(found), cases=len(found), chance=blind(judge.wardrobe, asked)),
    ]
    return figures, hits


def place_of(relation: str) -> tuple[int, int]:
    """Upper left corner of the thing, pixels."""
    x, y = composition.RELATIONS[relation].centre
    return round(SIDE * x - composition.HALF / 2), round(SIDE * y - composition.HALF / 2)


def as_tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).permute(2, 0, 1).float() / 255


def painted_over(relation: str, wood: int, thing: Image.Image | None = None) -> Image.Image:
    """The furniture on white, with a cut-out of HALF in its place."""
    behind, before = draw_furniture(relation, woods(relation, wood))
    canvas = Image.new("RGB", (SIDE, SIDE), "white")
    canvas.paste(behind, (0, 0), behind)
    if thing is not None:
        canvas.paste(thing, place_of(relation), thing)
    canvas.paste(before, (0, 0), before)
    return canvas


@cache
def empty_furniture() -> dict[tuple[str, int], Tensor]:
    """Every piece in every wood, and nothing at all."""
    drawn = {(name, wood): as_tensor(painted_over(name, wood)) for name in composition.RELATIONS for wood in range(WOODS)}
    return {**drawn, ("", 0): torch.ones(3, SIDE, SIDE)}


def nearest_furniture(picture: Tensor) -> str:
    """(3, SIDE, SIDE) uint8: the relation whose furniture, outside of all places where things lie, is nearest; "" for none."""
    outside = torch.ones(SIDE, SIDE, dtype=torch.bool)
    outside[:, SIDE // 4 : 3 * SIDE // 4] = False
    shown = picture.float() / 255
    away = {key: (shown - drawn)[:, outside].square().mean().sqrt().item() for key, drawn in empty_furniture().items()}
    nearest = min(away, key=lambda key: away[key])
    return nearest[0] if away[nearest] < NONE else ""


@cache
def in_place(wardrobe: Wardrobe, relation: str) -> Tensor:
    """Every drawing in its place, in the middle wood: (drawings, 3 * HALF * HALF)."""
    (x, y), half = place_of(relation), composition.HALF
    drawn = [as_tensor(painted_over(relation, 2, wardrobe.cut_out(one, half))) for one in wardrobe.drawings]
    return torch.stack([picture[:, y : y + half, x : x + half].flatten() for picture in drawn])


def nearest_thing(wardrobe: Wardrobe, picture: Tensor, relation: str) -> str:
    """Code of the emoji nearest to what lies in the place, moved about a little."""
    (x, y), half = place_of(relation), composition.HALF
    shifts = range(-AWAY, AWAY + 1)
    corners = [(min(max(y + down, 0), SIDE - half), min(max(x + right, 0), SIDE - half)) for down in shifts for right in shifts]
    shown = torch.stack([picture[:, top : top + half, left : left + half].flatten() for top, left in corners]).float() / 255
    away = torch.cdist(shown, in_place(wardrobe, relation))
    return wardrobe.drawings[int(away.amin(dim=0).argmin())].code
