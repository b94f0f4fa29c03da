"""Contact sheets of the data set, to be looked at before anything is trained on it: one of each kind of picture, with a caption each.

    python scripts/bundle/data_sheets.py --data DIR -o FOLDER [--number 60]

mirrored-SET.png shows every mirrored drawing of a set without words: letters, digits and clock faces must not be among them.
"""

import argparse
import json
import random
from collections import defaultdict
from pathlib import Path

from PIL import Image

from ldmcli.reports.sheets import contact_sheet, save_sheet

COLUMNS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--number", type=int, default=60, help="pictures of each kind")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    notes = json.loads((args.data / "annotations/captions_train2017.json").read_text(encoding="utf-8"))
    captions = defaultdict(list)
    for row in notes["annotations"]:
        captions[row["image_id"]].append(row["caption"])
    kinds = defaultdict(list)
    for row in {row["file_name"]: row for row in notes["images"]}.values():
        kinds[row["kind"]].append(row)
    rng = random.Random(0)
    for kind, rows in kinds.items():
        chosen = rng.sample(rows, min(args.number, len(rows)))
        labels = [rng.choice(captions[row["id"]]) for row in chosen]
        save_sheet(
            contact_sheet([read(args.data, row) for row in chosen], COLUMNS, labels=labels, scale=2, gap=2), args.output / f"{kind}.png"
        )
    turned = [row for row in kinds["single"] if row["variation"].startswith("1 0.0 1.000 0 0 None")]
    for name in dict.fromkeys(row["set"] for row in turned):
        chosen = [read(args.data, row) for row in turned if row["set"] == name]
        save_sheet(contact_sheet(chosen, 36, gap=0), args.output / f"mirrored-{name}.png")


def read(data: Path, row: dict) -> Image.Image:
    """A picture of the data set."""
    with Image.open(data / "train2017" / row["file_name"]) as picture:
        return picture.convert("RGB")


if __name__ == "__main__":
    main()
