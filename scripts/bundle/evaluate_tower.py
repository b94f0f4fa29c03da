"""How much of a picture a text state tells in a straight line: python scripts/bundle/evaluate_tower.py --data DIR TOWER [TOWER ...]

Of every picture of one emoji alone, one of its captions. A linear map (ridge regression) goes from the state at the last pad, of which a
U-Net's keys and values are linear maps too, to the picture at 16 x 16; printed is the share of the variance that it leaves. What no text
can tell comes first: the share that is left by the mean of all pictures with that caption. Both are of the pictures they were fitted to.
"""

import argparse
import json
import random
from pathlib import Path

import torch
from text_tasks import looks_of, small_pictures
from torch import Tensor
from vocabulary import LENGTH

from ldmcli.models.loading import load_text_encoder
from ldmcli.models.tokenizer import load_tokenizer

AT_ONCE = 256
RIDGE = 10.0
"""Added to the diagonal: a state has 192 numbers, there are some ten thousand pictures."""


def captioned_singles(data: Path) -> dict[str, list[str]]:
    """Captions of every picture file that shows one emoji alone."""
    notes = json.loads((data / "annotations/captions_train2017.json").read_text(encoding="utf-8"))
    files = {image["id"]: image["file_name"] for image in notes["images"] if image["kind"] == "single"}
    said: dict[str, list[str]] = {}
    for row in notes["annotations"]:
        if row["image_id"] in files:
            said.setdefault(files[row["image_id"]], []).append(row["caption"])
    return said


@torch.no_grad()
def last_states(folder: Path, texts: list[str]) -> Tensor:
    """(N, D), each at the last pad."""
    text, tokenizer = load_text_encoder(folder).eval(), load_tokenizer(folder / "tokenizer", LENGTH)
    ids = torch.stack([tokenizer.encode(one).ids for one in texts])
    return torch.cat([text(part)[:, -1] for part in ids.split(AT_ONCE)]).float()


def left_by_line(states: Tensor, values: Tensor) -> float:
    """Share of the variance of values (N, K) that a linear map from states (N, D) leaves."""
    known = (states - states.mean(0)) / (states.std(0) + 1e-3)
    centred = values - values.mean(0)
    weights = torch.linalg.solve(known.T @ known + RIDGE * torch.eye(known.shape[1]), known.T @ centred)
    return float((known @ weights - centred).square().sum() / centred.square().sum())


def left_by_captions(said: list[list[str]], chosen: list[str], values: Tensor) -> float:
    """Share of the variance that the mean of all pictures with the chosen caption leaves. said: captions of each picture."""
    shown: dict[str, list[int]] = {}
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
    chosen = [rng.choice(captions) for captions in singles.values()]
    looks = looks_of(small_pictures(args.data / "train2017", list(singles)))
    print(json.dumps({"tower": None, "pictures": len(chosen), "left": round(left_by_captions([*singles.values()], chosen, looks), 4)}))
    texts = [*dict.fromkeys(chosen)]
    row = {text: number for number, text in enumerate(texts)}
    for folder in args.towers:
        states = last_states(folder, texts)[[row[text] for text in chosen]]
        print(json.dumps({"tower": str(folder), "pictures": len(chosen), "left": round(left_by_line(states, looks), 4)}), flush=True)


if __name__ == "__main__":
    main()
