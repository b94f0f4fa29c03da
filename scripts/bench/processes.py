"""Two processes against one at the same global batch: how far the losses of N steps are apart, and whether the caches are the same bytes.

    python scripts/bench/processes.py --data DIR [--steps 20] [--batch-size 8] [--limit 160]

For train-vae and train-unet: one process, one that accumulates two halves of the batch, and two processes under torchrun with half of it
each (gloo, CPU, one thread each). Prints a JSON document.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

NETWORKS = {"train-vae": ["--channels", "16,32,32,32"], "train-unet": ["--channels", "32,64", "--layers", "1"]}
LDM = ["-m", "ldmcli"]
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *LDM]


def run(start: list[str], *options: object) -> list[float]:
    """The losses of every step of a command."""
    output = Path(str(options[options.index("-o") + 1]))
    command = [sys.executable, *start, *map(str, options)]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return [json.loads(line)["loss"] for line in (output / "log.jsonl").read_text().splitlines()]


def files(cache: Path) -> dict[str, bytes]:
    """Every file of a cache by its name."""
    return {str(path.relative_to(cache)): path.read_bytes() for path in cache.rglob("*") if path.is_file()}


def compare(command: str, args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The figures of one trainer."""
    shared = ["--data", args.data, "--limit", args.limit, "--size", 64, "--max-steps", args.steps, "--crop", "random", "--flip"]
    rhythm = ["--log-every", 1, "--sample-every", 10**6, "--val-every", 10**6, "--device", "cpu", "-q", *NETWORKS[command]]
    half = args.batch_size // 2
    ways = {
        "one": (LDM, ["--batch-size", args.batch_size]),
        "accumulated": (LDM, ["--batch-size", half, "--grad-accum", 2]),
        "two": (TWO, ["--batch-size", half]),
    }
    losses = {
        name: run(start, command, *shared, *rhythm, *batch, "-o", folder / name, "--cache", folder / f"cache-{name}")
        for name, (start, batch) in ways.items()
    }

    def apart(one: str, other: str) -> float:
        return max(abs(a - b) for a, b in zip(losses[one], losses[other], strict=True))

    return {
        "first_and_last_loss": [losses["one"][0], losses["one"][-1]],
        "two_against_one": apart("two", "one"),
        "two_against_accumulated": apart("two", "accumulated"),
        "accumulated_against_one": apart("accumulated", "one"),
        "same_cache_bytes": files(folder / "cache-two") == files(folder / "cache-one"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--limit", type=int, default=160)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({command: compare(command, args, Path(folder) / command) for command in NETWORKS}, indent=1))


if __name__ == "__main__":
    main()
