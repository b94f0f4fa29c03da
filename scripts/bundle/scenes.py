"""Draw a composed picture: emoji of one style on a named background. Knows no captions."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from composition import BACKGROUNDS, HUES
from PIL import Image
from sources import Emoji, Style

SIDE = 64
"""Pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """One object of a scene: its centre and side in pixels, and the colour it is painted in if that is not its own."""

    emoji: Emoji
    path: Path
    x: float
    y: float
    side: int
    colour: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What is drawn and what is said of it. background: one colour, or two, left and right or (stacked) above and below."""

    kind: str
    style: Style
    objects: tuple[Placed, ...]
    background: tuple[str, ...] = ("white",)
    stacked: bool = False
    captions: tuple[str, ...] = ()

    def mark(self) -> str:
        """Names the sources and everything that decides the pixels."""
        parts = [f"{self.background} {self.stacked}"]
        for one in self.objects:
            parts.append(f"{source_digest(one.path)} {one.x:.3f} {one.y:.3f} {one.side} {one.colour}")
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
    return square if colour is None else recoloured(square, colour)


@lru_cache(maxsize=4096)
def fills_its_square(path: Path) -> bool:
    """Whether it hides more than two fifths of the rim, a sixteenth of its side wide, so that no background would be seen."""
    hides = np.asarray(read_source(path).getchannel("A")) > 64
    width = len(hides) // 16
    within = hides[width:-width, width:-width]
    return bool((hides.sum() - within.sum()) / (hides.size - within.size) > 0.4)


def recoloured(picture: Image.Image, colour: str) -> Image.Image:
    """Turn the hue that covers most of it, and its neighbours on the wheel, to another; light, shade and the other hues stay."""
    rgba = np.asarray(picture)
    hsv = np.array(picture.convert("RGB").convert("HSV"))  # 0..255 each
    hue, saturation, value = (hsv[..., channel].astype(int) for channel in range(3))
    coloured = (saturation > 50) & (value > 40) & (rgba[..., 3] > 64)
    if not coloured.any():
        return picture
    counts = np.bincount(hue[coloured] // 8, weights=saturation[coloured], minlength=32)
    around = counts + np.roll(counts, 1) + np.roll(counts, -1)
    dominant = int(around.argmax()) * 8 + 4
    distance = (hue - dominant + 128) % 256 - 128
    changed = coloured & (np.abs(distance) < 32)
    wanted = round(HUES[colour] / 360 * 256)
    hsv[..., 0] = np.where(changed, (wanted + distance // 3) % 256, hue)
    if colour in ("yellow", "pink"):  # these are light colours: dark yellow is olive
        hsv[..., 2] = np.where(changed, np.maximum(value, 160 + value // 3).clip(0, 250), value)
    if colour == "pink":
        hsv[..., 1] = np.where(changed, np.minimum(saturation, 120), saturation)
    painted = Image.fromarray(hsv, "HSV").convert("RGB").convert("RGBA")
    painted.putalpha(picture.getchannel("A"))
    return painted


def draw_background(colours: tuple[str, ...], *, stacked: bool) -> Image.Image:
    canvas = Image.new("RGB", (SIDE, SIDE), BACKGROUNDS[colours[0]])
    if len(colours) == 2:
        canvas.paste(BACKGROUNDS[colours[1]], (0, SIDE // 2, SIDE, SIDE) if stacked else (SIDE // 2, 0, SIDE, SIDE))
    return canvas


def draw_scene(scene: Scene) -> Image.Image:
    """SIDE x SIDE RGB. Pillow resizes RGBA with its colours multiplied by alpha, so that nothing hidden shines through."""
    canvas = draw_background(scene.background, stacked=scene.stacked)
    for one in scene.objects:
        source = read_source(one.path, one.colour)
        if source.width != one.side:
            source = source.resize((one.side, one.side), Image.Resampling.LANCZOS)
        canvas.paste(source, (round(one.x - one.side / 2), round(one.y - one.side / 2)), source)
    return canvas
