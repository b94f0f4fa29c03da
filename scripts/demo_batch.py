"""What `ldm generate` promises of a long job, shown on a real one.

    python scripts/demo_batch.py [--lines 200] [--steps 2] [--verified 20] [-m MODEL] [--keep DIR]

1. A prompts file with five bad lines: all others are drawn, exit 3, the five are named.
2. The same job killed with -9 half-way and run again with --resume: the same files, byte for byte.
3. One picture alone, in a batch of 8 and in reversed order: how far its pixels are apart; byte-equal with --batch-size 1.
4. --from-image --verify.
"""

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from ldmcli.cli import main as ldm

BAD = [
    '{"prompt": "a broken line"',
    '{"prompt": "a cat", "steps": 0}',
    '{"prompt": 3}',
    '{"promt": "a cat"}',
    '{"prompt": "x", "scheduler": "magic"}',
]
COLOURS, THINGS = ("red", "green", "blue", "yellow", "white"), ("car", "dog", "cat", "house", "boat", "tree", "bird", "flower")


def write_prompts(path: Path, lines: int) -> None:
    """JSON lines, every scheduler a batch of its own, the bad ones spread evenly."""
    rows = [
        json.dumps({"prompt": f"a {COLOURS[i % 5]} {THINGS[i % 8]}", "seed": i, "scheduler": ("ddim", "dpm++2m", "euler-a")[i % 3]})
        for i in range(lines - len(BAD))
    ]
    for number, bad in enumerate(BAD):
        rows.insert((number + 1) * lines // (len(BAD) + 1), bad)
    path.write_text("".join(row + "\n" for row in rows))


def run(*arguments: str) -> tuple[int, str]:
    """`ldm generate` in this process: exit code and standard output."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        return ldm(["generate", *arguments]), out.getvalue()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def furthest(first: bytes, second: bytes) -> int:
    """Largest difference of two pictures, 0 to 255."""
    one, two = (np.asarray(Image.open(io.BytesIO(body)).convert("RGB"), dtype=int) for body in (first, second))
    return int(abs(one - two).max())


def show(what: str, value: object) -> None:
    print(f"{what:58} {value}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--steps", default="2")
    parser.add_argument("--verified", type=int, default=20)
    parser.add_argument("-m", "--model", default="bundled")
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        work = args.keep or Path(made)
        work.mkdir(parents=True, exist_ok=True)
        prompts, whole, killed = work / "prompts.jsonl", work / "whole", work / "killed"
        write_prompts(prompts, args.lines)
        common = ["-m", args.model, "--steps", args.steps]
        job = [*common, "-f", str(prompts), "-s", "1"]

        code, printed = run(*job, "--json", "-o", f"{whole}/")
        report = json.loads(printed)
        show("exit code", code)
        show("pictures", len(files(whole)))
        show(
            "rows of the manifest with a picture",
            sum('"status": "ok"' in row for row in (whole / "manifest.jsonl").read_text().splitlines()),
        )
        for failed in report["failed"]:
            show(f"line {failed['line']}", failed["error"])

        process = subprocess.Popen(
            [sys.executable, "-m", "ldmcli", "generate", *job, "-q", "-o", f"{killed}/"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        for _ in range(args.lines // 2):
            process.stdout.readline()
        process.kill()
        process.wait()
        show("pictures when killed with -9", len(files(killed)))
        code, _ = run(*job, "-q", "-o", f"{killed}/", "--resume")
        show("exit code of --resume", code)
        show("the same files, byte for byte", files(killed) == files(whole))

        eight = [f"a {COLOURS[i % 5]} {THINGS[i]}" for i in range(8)]
        lines = [json.dumps({"prompt": prompt, "seed": i}) for i, prompt in enumerate(eight)]
        drawn: dict[str, dict[str, bytes]] = {}
        for name, rows, size in (("batch", lines, 8), ("reversed", lines[::-1], 8), ("ones", lines, 1), ("ones reversed", lines[::-1], 1)):
            prompts.write_text("".join(row + "\n" for row in rows))
            run(*common, "-f", str(prompts), "--batch-size", str(size), "-q", "-o", f"{work / name}/{{seed}}.png")
            drawn[name] = files(work / name)
        for i, prompt in enumerate(eight[:4]):
            run(*common, prompt, "-s", str(i), "--batch-size", "1", "-q", "-o", f"{work / 'alone'}/{{seed}}.png")
        alone = files(work / "alone")
        show("alone and in a batch of 8: furthest pixels, of 255", max(furthest(alone[name], drawn["batch"][name]) for name in alone))
        show("in a batch of 8 and reversed", max(furthest(body, drawn["reversed"][name]) for name, body in drawn["batch"].items()))
        show("--batch-size 1: alone, in a job, in a reversed job equal",
             drawn["ones"] == drawn["ones reversed"] and all(alone[name] == drawn["ones"][name] for name in alone))  # fmt: skip

        ones = work / "twenty"
        run(*common, "a red car", "-n", str(args.verified), "-s", "1", "--batch-size", "1", "-q", "-o", f"{ones}/")
        answers = [
            json.loads(run("-m", args.model, "--from-image", str(path), "--verify", "--json")[1]) for path in sorted(ones.glob("*.png"))
        ]
        show("--from-image --verify says equal", f"{sum(answer['equal'] for answer in answers)} of {len(answers)}")


if __name__ == "__main__":
    main()
