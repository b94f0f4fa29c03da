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
from PIL import Image
from scene_plan import things_of
from scenes import read_source
from torch import Tensor

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
        """Share of the picture that hides what is behind it."""
        return float((np.asarray(read_source(self.path(self.emoji[code])))[..., 3] > 127).mean())

    def draw(self, code: str, side: int, colour: str = "white", *, room: int | None = None) -> Image.Image:
        """The emoji on a named background, as scenes are drawn. room: side of the whole picture, in whose middle it stands."""
        room = room or side
        source = read_source(self.path(self.emoji[code]))
        source = source if source.width == side else source.resize((side, side), Image.Resampling.LANCZOS)
        canvas = Image.new("RGB", (room, room), BACKGROUNDS[colour])
        canvas.paste(source, ((room - side) // 2, (room - side) // 2), source)
        return canvas

    @cache  # noqa: B019 - one wardrobe lives as long as the program
    def all_drawn(self, side: int, colour: str = "white", room: int | None = None) -> Tensor:
        """Every emoji so, in the order of `emoji`: (N, 3, room, room) uint8."""
        pictures = [np.asarray(self.draw(code, side, colour, room=room)) for code in self.emoji]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
