"""Draw a composed picture: emoji of one style on a named background. Knows no captions."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from composition import BACKGROUNDS, HUES
from furniture import Colour, draw_furniture
from PIL import Image, ImageColor, ImageOps
from sources import Emoji

SIDE = 64
"""Pixels."""
LEAST_PAINTED = 0.4
"""Share of a drawing that its main colour must cover for another to be put in its place."""
TINT = 45
"""Percent of saturation that a pale drawing is tinted with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """One object of a scene: its centre and side in pixels, and the colour it is painted in if that is not its own.

    mirrored: left and right; turn: degrees against the clock.
    """

    emoji: Emoji
    path: Path
    x: float
    y: float
    side: int
    colour: str | None = None
    mirrored: bool = False
    turn: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What is drawn and what is said of it. background: one colour, or two, left and right or (stacked) above and below.

    style: one of sources.STYLES; licence: of its drawings; relation: of composition.RELATIONS, and the colour of its furniture.
    """

    kind: str
    style: str
    licence: int
    objects: tuple[Placed, ...]
    background: tuple[str, ...] = ("white",)
    stacked: bool = False
    captions: tuple[str, ...] = ()
    relation: tuple[str, Colour] | None = None
    furniture_colour: str | None = None
    """Its name, where captions say it."""

    def mark(self) -> str:
        """Names the sources and everything that decides the pixels."""
        parts = [f"{self.background} {self.stacked} {self.relation}"]
        for one in self.objects:
            own = f"{one.side} {one.colour} {one.mirrored} {one.turn:.2f}"
            parts.append(f"{source_digest(one.path)} {one.x:.3f} {one.y:.3f} {own}")
        return hashlib.sha256(";".join(parts).encode()).hexdigest()[:24]


@lru_cache(maxsize=4096)
def source_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@lru_cache(maxsize=4096)
def read_source(path: Path, colour: str | None = None) -> Image.Image:
    """RGBA, square, in the colour that was asked for."""
    with Image.open(path) as opened:
        source = opened.convert("RGBA")
    side = max(source.size)
    square = Image.new("RGBA", (side, side))
    square.paste(source, ((side - source.width) // 2, (side - source.height) // 2))
    if colour is None:
        return square
    return recoloured(square, colour) if takes_colour(path) else tinted(square, colour)


@lru_cache(maxsize=4096)
def fills_its_square(path: Path) -> bool:
    """Whether it hides more than two fifths of the rim, a sixteenth of its side wide, so that no background would be seen."""
    hides = np.asarray(read_source(path).getchannel("A")) > 64
    width = len(hides) // 16
    within = hides[width:-width, width:-width]
    return bool((hides.sum() - within.sum()) / (hides.size - within.size) > 0.4)


def main_colour(picture: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels have the hue that covers most of an RGBA picture, or one of its neighbours on the wheel; and how far they are from it.

    Both (H, W); hues from 0 to 256.
    """
    rgba = np.asarray(picture)
    hue, saturation, value = (channel.astype(int) for channel in np.moveaxis(np.asarray(picture.convert("RGB").convert("HSV")), 2, 0))
    coloured = (saturation > 50) & (value > 40) & (rgba[..., 3] > 64)
    counts = np.bincount(hue[coloured] // 8, weights=saturation[coloured], minlength=32)
    around = counts + np.roll(counts, 1) + np.roll(counts, -1)
    distance = (hue - (int(around.argmax()) * 8 + 4) + 128) % 256 - 128
    return coloured & (np.abs(distance) < 32), distance


@lru_cache(maxsize=4096)
def takes_colour(path: Path) -> bool:
    """Whether its main colour covers enough of it for the whole to be called by that colour."""
    picture = read_source(path)
    return bool(main_colour(picture)[0].sum() > LEAST_PAINTED * (np.asarray(picture)[..., 3] > 64).sum())


def recoloured(picture: Image.Image, colour: str) -> Image.Image:
    """Turn its main colour to another; light, shade and the other hues stay."""
    changed, distance = main_colour(picture)
    hsv = np.array(picture.convert("RGB").convert("HSV"))  # 0..255 each
    hue, saturation, value = (hsv[..., channel].astype(int) for channel in range(3))
    wanted = round(HUES[colour] / 360 * 256)
    hsv[..., 0] = np.where(changed, (wanted + distance // 3) % 256, hue)
    if colour in ("yellow", "pink"):  # these are light colours: dark yellow is olive
        hsv[..., 2] = np.where(changed, np.maximum(value, 160 + value // 3).clip(0, 250), value)
    if colour == "pink":
        hsv[..., 1] = np.where(changed, np.minimum(saturation, 120), saturation)
    painted = Image.fromarray(hsv, "HSV").convert("RGB").convert("RGBA")
    painted.putalpha(picture.getchannel("A"))
    return painted


def tinted(picture: Image.Image, colour: str) -> Image.Image:
    """As if it were made of coloured paper or enamel: every part is darkened to the colour, what is black stays black."""
    light = np.array(ImageColor.getrgb(f"hsv({HUES[colour]},{TINT}%,100%)")) / 255
    rgba = np.array(picture)
    rgba[..., :3] = np.rint(rgba[..., :3] * light)
    return Image.fromarray(rgba, "RGBA")


def draw_background(colours: tuple[str, ...], *, stacked: bool) -> Image.Image:
    canvas = Image.new("RGB", (SIDE, SIDE), BACKGROUNDS[colours[0]])
    if len(colours) == 2:
        canvas.paste(BACKGROUNDS[colours[1]], (0, SIDE // 2, SIDE, SIDE) if stacked else (SIDE // 2, 0, SIDE, SIDE))
    return canvas


def draw_object(one: Placed) -> Image.Image:
    """RGBA, one.side square, or larger where it is turned, so that no corner is cut.

    Pillow resizes and turns RGBA with its colours multiplied by alpha, so that nothing hidden shines through.
    """
    source, side = read_source(one.path, one.colour), one.side
    if one.mirrored:
        source = ImageOps.mirror(source)
    if one.turn:
        room = source.width // 8
        wide = Image.new("RGBA", (source.width + 2 * room, source.width + 2 * room))
        wide.paste(source, (room, room))
        side = round(side * wide.width / source.width)
        source = wide.rotate(one.turn, Image.Resampling.BICUBIC)
    return source if source.width == side else source.resize((side, side), Image.Resampling.LANCZOS)


def draw_scene(scene: Scene) -> Image.Image:
    """SIDE x SIDE RGB."""
    canvas = draw_background(scene.background, stacked=scene.stacked)
    behind, before = draw_furniture(*scene.relation) if scene.relation else (None, None)
    if behind is not None:
        canvas.paste(behind, (0, 0), behind)
    for one in scene.objects:
        source = draw_object(one)
        canvas.paste(source, (round(one.x - source.width / 2), round(one.y - source.width / 2)), source)
    if before is not None:
        canvas.paste(before, (0, 0), before)
    return canvas
