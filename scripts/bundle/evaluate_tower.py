"""How much of a picture a text's states tell in straight lines.

    python scripts/bundle/evaluate_tower.py --data DIR --vae FOLDER TOWER [TOWER ...]

Of the latents of every picture of one emoji alone, which a U-Net is to make, and one of its captions, the share of the variance that is
left by a linear map (ridge regression), of which a U-Net's keys and values are others:
- "state": from the end token's state to the whole picture;
- "sketch": from the last pads, a cell of the picture each, by one map for all cells, another for each style.
What no text can tell comes first: what is left by the mean of all pictures with that caption, and of those in that style. All are of the
pictures they were fitted to. "known by sketch": of the prompts of concepts.json in each style, how many have a sketch that is nearest to a
picture of the right emoji (all of which it was fitted to), the mean of the styles: what a U-Net that read it in lines would draw rightly.
"words known": the same of synonyms.json, whose words no caption holds. "cells told": of the last pads, whose cell a
line tells, as the keys of a U-Net must, which asks for a cell by where it stands.
"""

import argparse
import json
import random
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from lists import read_concepts, read_synonyms
from picture_latents import latents_of
from sketch import cells_of
from sources import STYLES
from text_states import FIRST_OF_SKETCH
from torch import Tensor
from vocabulary import LENGTH

from ldmcli.models.loading import load_text_encoder
from ldmcli.models.tokenizer import load_tokenizer

AT_ONCE = 256
Line = Callable[[Tensor], Tensor]
"""A linear map of rows."""
RIDGE = 10.0
"""Added to the diagonal: a state has 192 numbers, there are some ten thousand pictures."""


@dataclass(frozen=True, slots=True)
class Single:
    """A picture file that shows one emoji alone."""

    captions: list[str]
    style: str
    emoji: str


def captioned_singles(data: Path) -> dict[str, Single]:
    """All of them, by the names of their files."""
    notes = json.loads((data / "annotations/captions_train2017.json").read_text(encoding="utf-8"))
    images = {image["id"]: image for image in notes["images"] if image["kind"] == "single"}
    singles = {image["file_name"]: Single([], image["style"], image["emoji"]) for image in images.values()}
    for row in notes["annotations"]:
        if row["image_id"] in images:
            singles[images[row["image_id"]]["file_name"]].captions.append(row["caption"])
    return singles


@torch.no_grad()
def ends_and_sketches(folder: Path, texts: list[str]) -> tuple[Tensor, Tensor]:
    """(N, D) at the end token, (N, SKETCH_CELLS, D) at the last pads."""
    text, tokenizer = load_text_encoder(folder).eval(), load_tokenizer(folder / "tokenizer", LENGTH)
    said = [tokenizer.encode(one) for one in texts]
    states = torch.cat([text(part) for part in torch.stack([one.ids for one in said]).split(AT_ONCE)]).float()
    return states[range(len(said)), [one.length - 1 for one in said]], states[:, FIRST_OF_SKETCH:]


def line_of(states: Tensor, values: Tensor) -> Line:
    """The linear map from states (N, D) to values (N, K), by ridge regression."""
    mean, spread, centre = states.mean(0), states.std(0) + 1e-3, values.mean(0)
    known = (states - mean) / spread
    weights = torch.linalg.solve(known.T @ known + RIDGE * torch.eye(known.shape[1]), known.T @ (values - centre))
    return lambda others: (others - mean) / spread @ weights + centre


def left_by_line(states: Tensor, values: Tensor) -> float:
    """Share of the variance of values (N, K) that a linear map from states (N, D) leaves."""
    left = line_of(states, values)(states) - values
    return float(left.square().sum() / (values - values.mean(0)).square().sum())


def lines_of_sketch(states: Tensor, cells: Tensor, styles: Tensor) -> list[Line]:
    """From cells' states (N, C, D) to cells (N, C, K), of each style in the order of their numbers (N,)."""
    rows = [styles == one for one in styles.unique()]
    return [line_of(states[own].flatten(0, 1), cells[own].flatten(0, 1)) for own in rows]


def left_by_sketch(lines: Sequence[Line], states: Tensor, cells: Tensor, styles: Tensor) -> float:
    """Share of the variance of cells (N, C, K) that the lines of their styles (N,) leave. states: (N, C, D)."""
    left = cells - cells.mean(0)
    whole = left.square().sum()
    for line, style in zip(lines, styles.unique(), strict=True):
        own = styles == style
        left[own] = line(states[own].flatten(0, 1)).view_as(cells[own]) - cells[own]
    return float(left.square().sum() / whole)


def cells_told(states: Tensor) -> float:
    """Share of cells whose number a line tells best of all. states: (N, C, D)."""
    own = torch.eye(states.shape[1]).repeat(len(states), 1)
    return float((line_of(states.flatten(0, 1), own)(states.flatten(0, 1)).argmax(1) == own.argmax(1)).float().mean())


def known_by_sketch(lines: Sequence[Line], asked: Tensor, cells: Tensor, right: Sequence[Collection[int]]) -> float:
    """Share of M sketches whose nearest picture, of those in all styles, is right; the mean over the styles that are drawn.

    asked: (M, C, D) states of prompts; cells: (N, C, K) of the pictures; right: of each prompt the rows of pictures.
    """
    shares = []
    for line in lines:
        sketches = line(asked.flatten(0, 1)).view(len(asked), -1)
        nearest = torch.cdist(sketches, cells.flatten(1)).argmin(dim=1).tolist()
        shares.append(sum(found in rows for found, rows in zip(nearest, right, strict=True)) / len(right))
    return sum(shares) / len(shares)


def left_by_captions(said: list[list[Hashable]], chosen: list[Hashable], values: Tensor) -> float:
    """Share of the variance that the mean of all pictures with the chosen caption leaves. said: captions of each picture."""
    shown: dict[Hashable, list[int]] = {}
    for row, captions in enumerate(said):
        for caption in set(captions):
            shown.setdefault(caption, []).append(row)
    means = torch.stack([values[shown[caption]].mean(0) for caption in chosen])
    return float((values - means).square().sum() / (values - values.mean(0)).square().sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("towers", type=Path, nargs="+", metavar="TOWER", help="a folder with text_encoder/ and tokenizer/")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True, help="a folder of its model")
    args = parser.parse_args()
    singles = captioned_singles(args.data)
    rng, pictures = random.Random(0), [*singles.values()]
    chosen, styles = [rng.choice(one.captions) for one in pictures], [one.style for one in pictures]
    cells = cells_of(latents_of([args.data / "train2017" / name for name in singles], args.vae))
    cells = cells - cells.mean(0)
    values = cells.flatten(1)
    said = [[*one.captions] for one in pictures]
    in_style = [[(caption, one.style) for caption in one.captions] for one in pictures]
    floors = left_by_captions(said, chosen, values), left_by_captions(in_style, [*zip(chosen, styles, strict=True)], values)
    print(json.dumps({"tower": None, "pictures": len(chosen), **shares_left(*floors)}), flush=True)
    texts, lists = [*dict.fromkeys(chosen)], {"known by sketch": read_concepts(), "words known": read_synonyms()}
    row = {text: number for number, text in enumerate(texts)}
    rows, number_of_style = [row[text] for text in chosen], torch.tensor([STYLES.index(style) for style in styles])
    asked = [row for rows in lists.values() for row in rows]
    right = [{number for number, one in enumerate(pictures) if one.emoji in row["emoji"]} for row in asked]
    for folder in args.towers:
        ends, sketches = ends_and_sketches(folder, [*texts, *(row["prompt"] for row in asked)])
        lines = lines_of_sketch(sketches[rows], cells, number_of_style)
        found = shares_left(left_by_line(ends[rows], values), left_by_sketch(lines, sketches[rows], cells, number_of_style))
        first = 0
        for name, listed in lists.items():
            part = slice(first, first := first + len(listed))
            found[name] = round(known_by_sketch(lines, sketches[len(texts) :][part], cells, right[part]), 4)
        found["cells told"] = round(cells_told(sketches[rows]), 4)
        print(json.dumps({"tower": str(folder), "pictures": len(chosen), **found}), flush=True)


def shares_left(state: float, sketch: float) -> dict[str, float]:
    """Both shares of the variance, by the names under which they are printed."""
    return {"left by state": round(state, 4), "left by sketch": round(sketch, 4)}


if __name__ == "__main__":
    main()
