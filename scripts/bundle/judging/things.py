"""The things that composed prompts are made of, and how they look at any size on any colour. Needs the npm packages."""

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import captions
import lists
import numpy as np
import selection
import sources
import torch
from composition import BACKGROUNDS
from PIL import Image, ImageOps
from scene_plan import things_of
from scenes import read_source
from torch import Tensor
from variations import may_be_mirrored

GROUPS = {"animal", "food", "vehicle", "thing", "clothing", "sport", "music"}
"""Of concepts.json: what can stand beside something else."""
FILLED = 0.9
"""A picture that is opaque over more than this share has no room for a background."""


@dataclass(frozen=True)
class Thing:
    """A concept that composed captions name. prompt: with its article; noun: without; emoji: every code that shows it."""

    prompt: str
    noun: str
    emoji: tuple[str, ...]


@dataclass(frozen=True)
class Drawing:
    """One drawing of an emoji, as it is or in a mirror."""

    code: str
    path: Path
    mirrored: bool


@dataclass(frozen=True)
class Wardrobe:
    """Every emoji of the data set in every set of drawings that has it. packages: a node_modules folder."""

    packages: Path

    @cached_property
    def emoji(self) -> dict[str, sources.Emoji]:
        """By code, those that are drawn at all."""
        kept = filter(selection.is_kept, sources.read_emoji(self.packages))
        return {one.code: one for one in kept if self.paths(one)}

    def paths(self, emoji: sources.Emoji) -> list[Path]:
        """Its picture in each set that draws it."""
        return list(filter(None, (sources.find_picture(self.packages, drawings, emoji) for drawings in sources.SETS)))

    @cached_property
    def drawings(self) -> list[Drawing]:
        """Of all emoji, in all sets, mirrored too where the data set does that."""
        ways = {code: (False, True) if may_be_mirrored(one) else (False,) for code, one in self.emoji.items()}
        return [Drawing(code, path, way) for code, one in self.emoji.items() for path in self.paths(one) for way in ways[code]]

    @cached_property
    def everyday(self) -> dict[str, list[str]]:
        return captions.everyday_words(list(self.emoji.values()))

    @cached_property
    def things(self) -> list[Thing]:
        """Concepts whose prompt is the main phrase of one of their emoji, so that composed captions name them by it."""
        things = []
        for row in lists.read_concepts():
            main = {captions.phrases_of(self.emoji[code], self.everyday)[0] for code in row["emoji"]}
            if row["group"] in GROUPS and row["prompt"] in main and max(map(self.opaque, row["emoji"])) < FILLED:
                things.append(Thing(row["prompt"], captions.without_article(row["prompt"]), tuple(row["emoji"])))
        return things

    @cached_property
    def simple(self) -> list[Thing]:
        """Those that the data set shows in pairs, in places and small."""
        planned = things_of(list(self.emoji.values()), self.packages, self.everyday)
        nouns = {one.noun for one in planned if one.is_simple}
        return [thing for thing in self.things if thing.noun in nouns]

    def opaque(self, code: str) -> float:
        """Share of the picture, in the first set that has it, that hides what is behind it."""
        return float((np.asarray(read_source(self.paths(self.emoji[code])[0]))[..., 3] > 127).mean())

    def of(self, code: str) -> list[Drawing]:
        """Every drawing of one emoji."""
        return [one for one in self.drawings if one.code == code]

    @cache  # noqa: B019 - one wardrobe lives as long as the program
    def cut_out(self, one: Drawing, side: int) -> Image.Image:
        """RGBA, side x side. All of one size are asked for on every background."""
        source = read_source(one.path)
        source = ImageOps.mirror(source) if one.mirrored else source
        return source if source.width == side else source.resize((side, side), Image.Resampling.LANCZOS)

    def draw(self, one: Drawing, side: int, colour: str = "white") -> Image.Image:
        """On a named background, as scenes are drawn."""
        canvas, source = Image.new("RGB", (side, side), BACKGROUNDS[colour]), self.cut_out(one, side)
        canvas.paste(source, (0, 0), source)
        return canvas

    @cache  # noqa: B019 - one wardrobe lives as long as the program
    def all_drawn(self, side: int, colour: str = "white") -> Tensor:
        """Every drawing so, in the order of `drawings`: (N, 3, side, side) uint8."""
        pictures = [np.asarray(self.draw(one, side, colour)) for one in self.drawings]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
