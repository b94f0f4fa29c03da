"""How much of a picture a text's states tell in straight lines: python scripts/bundle/evaluate_tower.py --data DIR TOWER [TOWER ...]

Of every picture of one emoji alone at 16 x 16, and one of its captions, the share of the variance that is left by a linear map (ridge
regression), of which a U-Net's keys and values are others:
- "state": from the end token's state to the whole picture;
- "sketch": from the last pads, a cell of the picture each, by one map for all cells, another for each style.
What no text can tell comes first: what is left by the mean of all pictures with that caption, and of those in that style. All are of the
pictures they were fitted to.
"""

import argparse
import json
import random
from collections.abc import Hashable
from pathlib import Path

import torch
from sketch import cells_of
from sources import STYLES
from text_states import FIRST_OF_SKETCH
from text_tasks import small_pictures
from torch import Tensor
from vocabulary import LENGTH

from ldmcli.models.loading import load_text_encoder
from ldmcli.models.tokenizer import load_tokenizer

AT_ONCE = 256
RIDGE = 10.0
"""Added to the diagonal: a state has 192 numbers, there are some ten thousand pictures."""


def captioned_singles(data: Path) -> dict[str, tuple[list[str], str]]:
    """Captions and style of every picture file that shows one emoji alone."""
    notes = json.loads((data / "annotations/captions_train2017.json").read_text(encoding="utf-8"))
    images = {image["id"]: image for image in notes["images"] if image["kind"] == "single"}
    said: dict[str, tuple[list[str], str]] = {image["file_name"]: ([], image["style"]) for image in images.values()}
    for row in notes["annotations"]:
        if row["image_id"] in images:
            said[images[row["image_id"]]["file_name"]][0].append(row["caption"])
    return said


@torch.no_grad()
def ends_and_sketches(folder: Path, texts: list[str]) -> tuple[Tensor, Tensor]:
    """(N, D) at the end token, (N, SKETCH_CELLS, D) at the last pads."""
    text, tokenizer = load_text_encoder(folder).eval(), load_tokenizer(folder / "tokenizer", LENGTH)
    said = [tokenizer.encode(one) for one in texts]
    states = torch.cat([text(part) for part in torch.stack([one.ids for one in said]).split(AT_ONCE)]).float()
    return states[range(len(said)), [one.length - 1 for one in said]], states[:, FIRST_OF_SKETCH:]


def errors_of_line(states: Tensor, values: Tensor) -> Tensor:
    """Sum of the squares that a linear map from states (N, D) leaves of values (N, K) about their mean."""
    known = (states - states.mean(0)) / (states.std(0) + 1e-3)
    centred = values - values.mean(0)
    weights = torch.linalg.solve(known.T @ known + RIDGE * torch.eye(known.shape[1]), known.T @ centred)
    return (known @ weights - centred).square().sum()


def left_by_line(states: Tensor, values: Tensor) -> float:
    """Share of the variance of values (N, K) that a linear map from states (N, D) leaves."""
    return float(errors_of_line(states, values) / (values - values.mean(0)).square().sum())


def left_by_sketch(states: Tensor, cells: Tensor, styles: Tensor) -> float:
    """Share of the variance of cells (N, C, K) that linear maps from states (N, C, D) leave, one for each of styles (N,)."""
    centred = cells - cells.mean(0)
    left = [errors_of_line(states[styles == one].flatten(0, 1), centred[styles == one].flatten(0, 1)) for one in styles.unique()]
    return float(torch.stack(left).sum() / centred.square().sum())


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
    args = parser.parse_args()
    singles = captioned_singles(args.data)
    rng = random.Random(0)
    chosen = [rng.choice(said) for said, _ in singles.values()]
    styles = [style for _, style in singles.values()]
    cells = cells_of(small_pictures(args.data / "train2017", list(singles)))
    values = cells.flatten(1)
    said = [[*captions] for captions, _ in singles.values()]
    in_style = [[(caption, style) for caption in captions] for captions, style in singles.values()]
    floors = left_by_captions(said, chosen, values), left_by_captions(in_style, [*zip(chosen, styles, strict=True)], values)
    print_left(None, len(chosen), *floors)
    texts = [*dict.fromkeys(chosen)]
    row = {text: number for number, text in enumerate(texts)}
    rows, number_of_style = [row[text] for text in chosen], torch.tensor([STYLES.index(style) for style in styles])
    for folder in args.towers:
        ends, sketches = ends_and_sketches(folder, texts)
        print_left(folder, len(chosen), left_by_line(ends[rows], values), left_by_sketch(sketches[rows], cells, number_of_style))


def print_left(tower: Path | None, pictures: int, state: float, sketch: float) -> None:
    """One line of JSON; tower: None for what no text can tell."""
    row = {"tower": tower and str(tower), "pictures": pictures, "left by state": round(state, 4), "left by sketch": round(sketch, 4)}
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
