"""What a thing can be in, on or under: a box, a basket, a table, drawn here. Knows no captions of its own; see composition.RELATIONS."""

import colorsys
import random

from composition import HUES
from PIL import Image, ImageDraw

SIDE = 64
"""Pixels of the whole picture."""
LARGER = 4
"""Drawn so many times as large, then made smaller, for smooth edges."""
Colour = tuple[int, int, int]


def woods(relation: str, number: int) -> Colour:
    """One of the colours that carton, wicker and wood come in; any number gives one."""
    tones = {
        "in a box": (30, 0.45, 0.80),
        "in a basket": (34, 0.60, 0.72),
        "on a table": (26, 0.62, 0.58),
        "under a table": (26, 0.62, 0.58),
    }
    hue, saturation, value = tones[relation]
    rng = random.Random(number % 5)
    return shaded(hue + rng.uniform(-6, 6), saturation + rng.uniform(-0.1, 0.1), value + rng.uniform(-0.12, 0.1))


def painted(colour: str) -> Colour:
    """A named hue."""
    light = {"yellow": (0.75, 0.95), "pink": (0.42, 0.95)}.get(colour, (0.75, 0.8))
    return shaded(HUES[colour], *light)


def shaded(hue: float, saturation: float, value: float) -> Colour:
    """Degrees and shares to RGB."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 360 / 360, min(max(saturation, 0), 1), min(max(value, 0), 1))
    return round(255 * red), round(255 * green), round(255 * blue)


def darker(colour: Colour, share: float) -> Colour:
    red, green, blue = (round(channel * share) for channel in colour)
    return red, green, blue


def draw_furniture(relation: str, colour: Colour) -> tuple[Image.Image, Image.Image]:
    """What is behind the thing and what is before it: RGBA, SIDE x SIDE each."""
    behind, before = (Image.new("RGBA", (SIDE * LARGER, SIDE * LARGER)) for _ in range(2))
    {"in a box": _box, "in a basket": _basket, "on a table": _table_below, "under a table": _table_above}[relation](
        ImageDraw.Draw(behind), ImageDraw.Draw(before), colour
    )
    small = [image.resize((SIDE, SIDE), Image.Resampling.BOX) for image in (behind, before)]
    return small[0], small[1]


def _area(*corners: float) -> list[float]:
    return [LARGER * corner for corner in corners]


def _box(behind: ImageDraw.ImageDraw, before: ImageDraw.ImageDraw, colour: Colour) -> None:
    """An open carton: its back wall, then its front with two flaps."""
    behind.polygon(_area(10, 40, 14, 30, 50, 30, 54, 40), darker(colour, 0.6))
    before.rectangle(_area(10, 40, 53.75, 61.75), colour)
    before.polygon(_area(10, 40, 3, 46, 8, 50, 14, 44), darker(colour, 0.85))
    before.polygon(_area(54, 40, 61, 46, 56, 50, 50, 44), darker(colour, 0.85))
    before.rectangle(_area(29, 40, 34.75, 61.75), darker(colour, 0.88))


def _basket(behind: ImageDraw.ImageDraw, before: ImageDraw.ImageDraw, colour: Colour) -> None:
    """Wicker with a rim."""
    behind.ellipse(_area(7, 34, 57, 48), darker(colour, 0.55))
    before.polygon(_area(8, 41, 14, 61, 50, 61, 56, 41), colour)
    for row in range(4):
        for column in range(10):
            x, y = 13 + 4 * column + 2 * (row % 2), 46 + 4 * row
            if x + 3 < 52:
                before.rectangle(_area(x, y, x + 2, y + 1.5), darker(colour, 0.72))
    before.rounded_rectangle(_area(5, 39, 58.75, 43.75), LARGER * 2, darker(colour, 0.85))


def _table_below(behind: ImageDraw.ImageDraw, before: ImageDraw.ImageDraw, colour: Colour) -> None:
    """Its top in the middle of the picture."""
    for left in (7, 52):
        behind.rectangle(_area(left, 36, left + 4.75, 62.75), darker(colour, 0.75))
    behind.rectangle(_area(2, 32, 61.75, 36.75), colour)
    behind.rectangle(_area(4, 37, 59.75, 38.75), darker(colour, 0.6))


def _table_above(behind: ImageDraw.ImageDraw, before: ImageDraw.ImageDraw, colour: Colour) -> None:
    """Its top above the middle, room for a thing between the legs."""
    for left in (5, 54):
        behind.rectangle(_area(left, 26, left + 4.75, 62.75), darker(colour, 0.75))
    behind.rectangle(_area(1, 22, 62.75, 26.75), colour)
    behind.rectangle(_area(3, 27, 60.75, 28.75), darker(colour, 0.6))
