"""Memory of a prompts file: how much more `ldm generate` takes until its first picture for many lines than for one.

    python scripts/bench/prompt_lines.py [--lines 1000000] [--kinds text,jsonl] [--most 64]

For each kind a JSON object: seconds until the first picture, and the peak resident memory by then, both less those of a file with one line.
Every line of the JSON has a seed, and every other one other steps. Linux. Ends with 1 where it is more than --most MB.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

WORDS = "a an red blue small large old dog cat house tree boat street in on near with under the park hill river city at night".split()
DRAWING = ["--steps", "1", "--batch-size", "1", "--width", "32", "--height", "32", "--device", "cpu", "-q"]


def lines(kind: str, count: int) -> Iterator[str]:
    """Prompts of 13 words, no two the same."""
    draw = Random(0)
    for number in range(count):
        prompt = f"{' '.join(draw.choices(WORDS, k=12))} {number}"
        yield prompt if kind == "text" else json.dumps({"prompt": prompt, "seed": 7 * number, "steps": 1 + number % 2})


def until_the_first_picture(file: Path, out: Path) -> tuple[float, int]:
    """Seconds, and the peak in bytes by then. The process is stopped."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "ldmcli", "generate", "-f", str(file), "-s", "1", *DRAWING, "-o", f"{out}/"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise SystemExit(f"no picture: exit {process.wait()}")
        seconds = time.perf_counter() - began
        peak = re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        os.killpg(process.pid, signal.SIGKILL)
    assert peak is not None
    return seconds, 1024 * int(peak[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--kinds", default="text,jsonl")
    parser.add_argument("--most", type=float, default=64.0, help="MB")
    args = parser.parse_args()
    held = True
    with tempfile.TemporaryDirectory(prefix="ldm-prompts-") as folder:
        for kind in args.kinds.split(","):
            figures = []
            for count in (1, args.lines):
                file = Path(folder) / f"{count}.{kind}"
                file.write_text("".join(f"{line}\n" for line in lines(kind, count)))
                figures.append(until_the_first_picture(file, Path(folder) / f"{kind}-{count}"))
            (second, least), (seconds, peak) = figures
            more = (peak - least) / 1e6
            held &= more <= args.most
            row = {"kind": kind, "lines": args.lines, "more_seconds": round(seconds - second, 1), "more_MB": round(more, 1)}
            print(json.dumps(row), flush=True)
    return not held


if __name__ == "__main__":
    sys.exit(main())
