"""What finishing pictures in a second thread is worth: `ldm generate` of 40 pictures, with it and without.

    python scripts/bench/overlap.py [--pictures 40] [--steps 8] [--runs 5] [-m MODEL]

Interleaved runs in this process; "inline" finishes a batch before the next one begins. On a GPU the thread decodes and writes, on a CPU
it writes. Prints the medians, the gain, and whether the files are the same bytes.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.generate import run as generate
from ldmcli.engine.generate.background import BackgroundWorker
from ldmcli.models.source import find_model
from ldmcli.records.pictures import GenerateReport


class Inline(BackgroundWorker[Any]):
    """The same work, done at once."""

    def add(self, work: Callable[[], Any]) -> Iterator[Any]:
        yield work()


def draw(how: type[BackgroundWorker[Any]], config: GenerateConfig) -> dict[str, float]:
    """The timing of one command, without loading."""
    generate.BackgroundWorker = how
    *_, report = generate.run_generate(config, find_model(config.model))
    assert isinstance(report, GenerateReport)
    return {**report.timing, "after_load_s": report.timing["total_s"] - report.timing["load_s"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--upscale", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("-m", "--model", default="bundled")
    args = parser.parse_args()
    times: dict[str, list[dict[str, float]]] = {"aside": [], "inline": []}
    bytes_of: dict[str, list[bytes]] = {}
    for _ in range(args.runs):
        for name, how in (("aside", BackgroundWorker), ("inline", Inline)):
            with tempfile.TemporaryDirectory() as folder:
                config = GenerateConfig(
                    prompts=("a dog",), num_images=args.pictures, steps=args.steps, seed=0, model=args.model, output=f"{folder}/",
                    upscale=args.upscale, batch_size=args.batch_size,
                )  # fmt: skip
                times[name].append(draw(how, config))
                bytes_of[name] = [path.read_bytes() for path in sorted(Path(folder).glob("*.png"))]
    median = {name: {key: round(statistics.median(run[key] for run in runs), 3) for key in runs[0]} for name, runs in times.items()}
    inline, background = (median[name]["after_load_s"] for name in ("inline", "aside"))
    body = {
        "pictures": args.pictures,
        "median": median,
        "gain": round(1 - background / inline, 3),
        "same_bytes": bytes_of["aside"] == bytes_of["inline"],
        "after_load_s": {name: [round(run["after_load_s"], 2) for run in runs] for name, runs in times.items()},
    }
    print(json.dumps(body, indent=1))


if __name__ == "__main__":
    main()
