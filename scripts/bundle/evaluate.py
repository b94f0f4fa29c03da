"""Measure the bundled model, or another that was trained on its data: every figure of its card, and a contact sheet of each part.

    python scripts/bundle/evaluate.py --data DIR -o FOLDER [-m MODEL] [--parts concepts synonyms ...] [--limit N]

Prompts, seeds and what counts were fixed before any model was judged. FOLDER gets figures.json, PART.json (every verdict), PART.png (what
was wrong has a red frame) and the pictures; what is already drawn by the same U-Net is not drawn again. What each part does: judging/.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from judging.composed import measure_composition
from judging.copies import measure_copies
from judging.diversity import measure_diversity
from judging.drawing import Drawer
from judging.figures import Figure, Result, table
from judging.judge import Judge
from judging.recognition import measure_concepts, measure_synonyms
from judging.reconstruction import measure_reconstruction

from ldmcli.reports.sheets import save_sheet

PARTS: dict[str, Callable[[Judge], Result]] = {
    "concepts": measure_concepts,
    "synonyms": measure_synonyms,
    "reconstruction": measure_reconstruction,
    "diversity": measure_diversity,
    "composition": measure_composition,
    "copies": measure_copies,
}


def run_parts(judge: Judge, parts: list[str], folder: Path) -> list[Figure]:
    """Measure part by part, each written as soon as it is known."""
    figures: list[Figure] = []
    for part in parts:
        result = PARTS[part](judge)
        figures += result.figures
        print(table(result.figures), end="\n\n", file=sys.stderr, flush=True)
        (folder / f"{part}.json").write_text(json.dumps(result.details, indent=1) + "\n", encoding="utf-8")
        if result.sheet is not None:
            save_sheet(result.sheet, folder / f"{part}.png")
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the data set of build_dataset.py")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("-m", "--model", default="bundled")
    parser.add_argument("--scorer", default="bundled")
    parser.add_argument("--packages", type=Path, help="node_modules folder, where it is not beside the data")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=4, help="seeds 0 .. N-1 of each prompt")
    parser.add_argument("--limit", type=int, help="evenly spaced prompts of each part only, to try the script")
    parser.add_argument("--flags", default="", help='further options of `ldm generate`: "--cfg 3 --device cuda"')
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    drawer = Drawer(args.model, args.output / "drawn", tuple(args.flags.split()))
    judge = Judge(args.data, drawer, args.seeds, args.limit, args.scorer, args.packages)
    figures = run_parts(judge, args.parts, args.output)
    rows = [{**asdict(figure), "met": figure.met} for figure in figures]
    (args.output / "figures.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(table(figures))


if __name__ == "__main__":
    main()
