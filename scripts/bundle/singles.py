"""One emoji alone on white: which pictures of it there are, and what is said of them. Reads no picture but to see its colours."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import captions
import sources
from composition import TINTED
from scenes import SIDE, Placed, Scene, takes_colour
from variations import Variation, is_free_of_colours, variations


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One emoji alone, in one set of drawings, varied."""

    emoji: sources.Emoji
    drawings: sources.PictureSet
    path: Path
    variation: Variation
    turn: int
    """Number among the pictures of this emoji."""

    def scene(self) -> Scene:
        """As it is drawn."""
        varied = self.variation
        placed = Placed(
            emoji=self.emoji,
            path=self.path,
            x=SIDE / 2 + varied.right,
            y=SIDE / 2 + varied.down,
            side=round(SIDE * varied.scale),
            colour=varied.colour,
            mirrored=varied.mirrored,
            turn=varied.turn,
        )
        return Scene(kind="single", style=self.drawings.style, licence=self.drawings.licence, objects=(placed,))


def plan_pictures(
    kept: list[sources.Emoji],
    packages: Path,
    everyday: dict[str, list[str]],
    *,
    sets: Sequence[sources.PictureSet] = sources.SETS,
    varied: bool = True,
) -> Iterator[Picture]:
    """Every emoji in each of the sets that draws it, in Unicode order; varied: in all its variations, else in the first."""
    for emoji in kept:
        noun, turn = captions.without_article(captions.phrases_of(emoji, everyday)[0]), 0
        for number, drawings in enumerate(sets):
            if (path := sources.find_picture(packages, drawings, emoji)) is None:
                continue
            for one in variations(emoji, drawings.folder, noun, number)[: None if varied else 1]:
                if one.colour and not (takes_colour(path) or noun in TINTED):
                    continue
                yield Picture(emoji=emoji, drawings=drawings, path=path, variation=one, turn=turn)
                turn += 1


def describe_single(picture: Picture, said: list[str], file_name: str) -> dict[str, Any]:
    """What the captions file says of it, beyond COCO's own keys the emoji, its style, category, and how it is varied."""
    emoji, drawings = picture.emoji, picture.drawings
    own = {"emoji": emoji.code, "name": emoji.name, "style": drawings.style, "category": emoji.category, "kind": "single"}
    own |= {"set": drawings.name, "variation": str(picture.variation)}
    return {"file_name": file_name, "license": drawings.licence, **own, "captions": said}


def single_captions(picture: Picture, everyday: dict[str, list[str]], counts: Counter[str]) -> list[str]:
    """Those that are true of it: in a colour that is not its own, none that names one."""
    said = captions.captions_of(picture.emoji, picture.drawings.style, picture.turn, everyday, counts)
    return list(filter(is_free_of_colours, said)) if picture.variation.colour else said
