"""How often the bundled model draws what it was asked for.

    python scripts/bundle/evaluate.py --data DIR [-m MODEL] [--seeds 4] [--sheet FILE.png]

For each of the everyday concepts in concepts.json and each seed, the picture that `generate` makes at default settings is
compared with every training picture (on a white background: the prompts name none) by the L2 distance of 32x32 RGB. It counts as
recognised when the nearest one is one of the concept's emoji. Chance: the share of training pictures that would count,
averaged over the concepts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ldmcli.data.cache import to_unit_range
from ldmcli.data.pictures import read_square
from ldmcli.images import to_pillow
from ldmcli.reports.sheets import contact_sheet, save_sheet

CONCEPTS = Path(__file__).parent / "concepts.json"


def fingerprint(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> (B, 3 * 32 * 32): area-averaged pixels."""
    return F.adaptive_avg_pool2d(pictures, 32).flatten(1)


def training_pictures(data: Path) -> tuple[Tensor, list[str]]:
    """Fingerprints (N, 3072) of all training pictures and the emoji that each shows."""
    rows = json.loads((data / "annotations" / "captions_train2017.json").read_text())["images"]
    pixels = torch.stack([read_square(data / "train2017" / row["file_name"], 64) for row in rows])
    return fingerprint(to_unit_range(pixels)), [row["emoji"] for row in rows]


def generate(prompts: list[str], count: int, options: dict[str, object], folder: str) -> Tensor:
    """What the command itself draws with seeds 0 .. count-1, prompt by prompt. Returns (prompts * count, 3, 64, 64) in [-1, 1]."""
    flags = [str(part) for pair in options.items() for part in pair]
    command = [sys.executable, "-m", "ldmcli", "generate", *prompts, "-n", str(count), "--seed", "0", "--json", "-o", f"{folder}/", *flags]
    report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return to_unit_range(torch.stack([read_square(Path(image["path"]), 64) for image in report["images"]]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the data set of build_dataset.py")
    parser.add_argument("-m", "--model", default="bundled")
    parser.add_argument("--seeds", type=int, default=4, help="seeds 0 .. N-1 for each concept")
    parser.add_argument("--cfg", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--scheduler")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet, wrong ones framed in red")
    parser.add_argument("--json", type=Path, help="write every verdict")
    args = parser.parse_args()

    concepts = json.loads(CONCEPTS.read_text())
    known, emoji = training_pictures(args.data)
    options = {"--model": args.model, "--cfg": args.cfg, "--steps": args.steps, "--scheduler": args.scheduler}
    with tempfile.TemporaryDirectory() as folder:
        pictures = generate([c["prompt"] for c in concepts], args.seeds, {k: v for k, v in options.items() if v is not None}, folder)
    distances = torch.cdist(fingerprint(pictures), known)
    nearest = [emoji[i] for i in distances.argmin(dim=1).tolist()]
    right = [found in concepts[i // args.seeds]["emoji"] for i, found in enumerate(nearest)]

    by_group: dict[str, list[bool]] = defaultdict(list)
    for i, hit in enumerate(right):
        by_group[concepts[i // args.seeds]["group"]].append(hit)
    for group, hits in by_group.items():
        print(f"{group:10} {sum(hits):4} of {len(hits):4}  {sum(hits) / len(hits):6.1%}")
    chance = sum(sum(e in c["emoji"] for e in emoji) / len(emoji) for c in concepts) / len(concepts)
    print(f"{'all':10} {sum(right):4} of {len(right):4}  {sum(right) / len(right):6.1%}")
    print(f"chance {chance:.2%}, {len(emoji)} training pictures")
    if args.json:
        seeds = [slice(i * args.seeds, (i + 1) * args.seeds) for i in range(len(concepts))]
        verdicts = [{"prompt": c["prompt"], "hits": right[s], "nearest": nearest[s]} for c, s in zip(concepts, seeds, strict=True)]
        args.json.write_text(json.dumps(verdicts, indent=1))
    if args.sheet:
        thumbs = [framed(picture, hit) for picture, hit in zip(to_pillow(pictures), right, strict=True)]
        labels = [concepts[i // args.seeds]["prompt"] for i in range(len(thumbs))]
        print(save_sheet(contact_sheet(thumbs, columns=5 * args.seeds, labels=labels, gap=2), args.sheet))


def framed(picture: Image.Image, right: bool) -> Image.Image:
    """A red frame around what was not recognised."""
    sheet = Image.new("RGB", (picture.width + 4, picture.height + 4), "white" if right else "red")
    sheet.paste(picture, (2, 2))
    return sheet


if __name__ == "__main__":
    main()
