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
from PIL import Image
from torch import Tensor

Colour = tuple[int, int, int]

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
class Wardrobe:
    """Every emoji of the data set in the style that a caption without a style means. packages: a node_modules folder."""

    packages: Path

    @cached_property
    def emoji(self) -> dict[str, sources.Emoji]:
        """By code, those that are drawn at all."""
        kept = filter(selection.is_kept, sources.read_emoji(self.packages))
        return {one.code: one for one in kept if self.path(one) is not None}

    def path(self, emoji: sources.Emoji) -> Path | None:
        """Of the first style that draws it."""
        found = (sources.find_picture(self.packages, style, emoji) for style in sources.STYLES)
        return next(filter(None, found), None)

    @cached_property
    def things(self) -> list[Thing]:
        """Concepts whose prompt is the main phrase of one of their emoji, so that composed captions name them by it."""
        everyday = captions.read_everyday_words()
        things = []
        for row in lists.read_concepts():
            main = {captions.phrases_of(self.emoji[code], everyday)[0] for code in row["emoji"]}
            if row["group"] in GROUPS and row["prompt"] in main and max(map(self.opaque, row["emoji"])) < FILLED:
                things.append(Thing(row["prompt"], captions.without_article(row["prompt"]), tuple(row["emoji"])))
        return things

    @cache  # noqa: B019 - one wardrobe lives as long as the program
    def source(self, code: str) -> Image.Image:
        """The straight RGBA of the package, square."""
        with Image.open(self.path(self.emoji[code])) as opened:
            picture = opened.convert("RGBA")
        side = max(picture.size)
        square = Image.new("RGBA", (side, side), (255, 255, 255, 0))
        square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
        return square

    def opaque(self, code: str) -> float:
        """Share of the picture that hides what is behind it."""
        return float((np.asarray(self.source(code))[..., 3] > 127).mean())

    def draw(self, code: str, side: int, colour: Colour) -> Image.Image:
        """The emoji on a colour, resized with what lies under it, as the data set is."""
        picture = self.source(code)
        canvas = Image.new("RGBA", picture.size, (*colour, 255))
        canvas.alpha_composite(picture)
        return canvas.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)

    @cache  # noqa: B019
    def all_drawn(self, side: int, colour: Colour) -> tuple[Tensor, list[str]]:
        """Every emoji so: (N, 3, side, side) uint8, and their codes."""
        pictures = [np.asarray(self.draw(code, side, colour)) for code in self.emoji]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous(), list(self.emoji)
