"""kill -9 at random moments of every command that writes, and what is left: nothing cut, nothing lost, and the end as without a kill.

    python scripts/bench/kills.py [--kills 50] [--seed 0] [--kinds generate,compare,clipscore,bench,cache,vae,unet]

Each kill hits a fresh `ldm` process: every other one while a file is being written (a temporary one is there), the others anywhere
between its start and its usual end. After each, every file that has its own name must be whole, and one that was there before must be
the old or a new whole one. After its last kill a command is run to its end and must leave what an undisturbed one left. One JSON object
a kind, and one for all; ends with 1 if anything did not hold.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import safe_open
from survive import OPTIONS, SHARED, contents, draw_data

DRAWING = ["--steps", "4", "--device", "cpu", "-s", "1"]
TRAINING = [*SHARED, "--save-every", "1", "--keep", "2"]
NO_CLOCK = ("seconds", "seconds_per_call", "total_s", "env")


@dataclass
class Kind:
    """A command: its arguments, what more it is given after a kill, where it writes, and what two folders must have in common."""

    name: str
    argv: list[str]
    again: list[str]
    out: str
    same: Callable[[Path], object]
    took: float = 0.0
    killed: int = 0
    inside: int = 0
    broken: list[str] = field(default_factory=list)


def kinds(root: Path) -> Iterator[Kind]:
    """In `root`: pictures/, which some read, and a folder for each."""
    data = ["--data", str(root / "data")]
    often = ["--reference-steps", "8", "--schedulers", "ddim,euler"]
    yield Kind(
        "generate", ["generate", "a dog", "-n", "24", "--batch-size", "4", *DRAWING, "--grid", "-o", "out/"], ["--resume"], "out", drawn
    )
    yield Kind("compare", ["compare-schedulers", "a dog", "a cat", *DRAWING, *often, "-o", "out"], ["--overwrite"], "out", compared)
    yield Kind("clipscore", ["clipscore", *data, "--clip-model", "bundled", "-o", "out/scores.csv"], ["--overwrite"], "out", scored)
    bench = "bench --runs 2 --warmup 1 --steps 2 --device cpu --export-json out/b.json --export-csv out/b.csv --chart out/b.png".split()
    yield Kind("bench", bench, ["--overwrite"], "out", measured)
    cache = [*OPTIONS["unet"], *data, *SHARED, "--cache", "out", "-o", "run"]
    yield Kind("cache", [*cache, "--max-steps", "1", "--size", "256"], ["--resume", "auto"], "out", arrays)
    for name in ("vae", "unet"):
        yield Kind(name, [*OPTIONS[name], *data, *TRAINING, "-o", "out"], ["--resume", "auto"], "out", contents)


def drawn(folder: Path) -> object:
    """The bytes of all pictures."""
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def compared(folder: Path) -> object:
    """Pictures, and every figure that is no time."""
    body = json.loads((folder / "results.json").read_text())
    rows = [{key: value for key, value in row.items() if key not in NO_CLOCK} for row in body["rows"]]
    return rows, {path.relative_to(folder): path.read_bytes() for path in (folder / "images").rglob("*.png")}


def scored(folder: Path) -> object:
    """The table."""
    return (folder / "scores.csv").read_text()


def measured(folder: Path) -> object:
    """How many rows, and that all files are there."""
    return len(json.loads((folder / "b.json").read_text())["rows"]), sorted(path.name for path in folder.iterdir() if path.name[0] != ".")


def arrays(folder: Path) -> object:
    """Every array of every entry."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.glob("[!.]*/*.npy")}


def check_whole(path: Path) -> None:
    """Raises whatever reading a cut file raises."""
    if path.suffix == ".png":
        with Image.open(path) as picture:
            picture.load()
    elif path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".jsonl":
        for line in path.read_text().split("\n")[:-1]:  # an append that a kill cut short is the last line, and has no end
            json.loads(line or "0")
    elif path.suffix == ".safetensors":
        with safe_open(path, "pt"):
            pass
    elif path.suffix == ".npy":
        np.load(path, mmap_mode="r")
    elif path.suffix == ".csv":
        if not path.read_text().endswith("\n") or len({len(row) for row in csv.reader(path.open(newline=""))}) != 1:
            raise ValueError("rows of other lengths")
    elif path.suffix == ".html" and "</html>" not in path.read_text()[-50:]:
        raise ValueError("no end")


def files_of(folder: Path) -> list[Path]:
    """Those with a name of their own: nothing hidden, and nothing in a hidden folder."""
    return [path for path in folder.rglob("*") if path.is_file() and not any(part[0] == "." for part in path.relative_to(folder).parts)]


def start(kind: Kind, place: Path, *more: str) -> subprocess.Popen[str]:
    """A fresh process in a folder."""
    command = [sys.executable, "-m", "ldmcli", *kind.argv, *more]
    return subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(kind: Kind, place: Path, *more: str) -> float:
    """To its end. Returns the seconds."""
    began, process = time.monotonic(), start(kind, place, *more)
    _, talk = process.communicate(timeout=600)
    if process.returncode:
        raise SystemExit(f"{kind.name} {more}: exit {process.returncode}\n{talk}")
    return time.monotonic() - began


def kill(kind: Kind, place: Path, whole_run: Path, draw: random.Random) -> None:
    """One kill, and a look at what is left. Where the process was faster, its end is looked at, and the next one begins anew."""
    out, begun = place / kind.out, any((place / kind.out).iterdir())
    whole = set(files_of(out))
    process = start(kind, place, *(kind.again if begun else []))
    deadline, in_a_write = time.monotonic() + draw.uniform(0.3, 1.0) * kind.took, draw.random() < 0.5
    before = {path for path in out.rglob(".*.tmp")}
    while process.poll() is None and time.monotonic() < deadline + (kind.took if in_a_write else 0):
        if in_a_write and time.monotonic() > deadline and {path for path in out.rglob(".*.tmp")} - before:
            break
        time.sleep(0.0005)
    process.kill()
    process.communicate()
    kind.killed += process.returncode == -signal.SIGKILL
    kind.inside += bool({path for path in out.rglob(".*.tmp")} - before)
    for path in files_of(out):
        try:
            check_whole(path)
        except Exception as error:
            kind.broken.append(f"{path.relative_to(place)}: {error!r:.100}")
    lost = [path for path in whole if not path.exists() and "checkpoints" not in path.parts]  # those are pruned
    kind.broken += [f"{path.relative_to(place)} is gone" for path in lost]
    if process.returncode != -signal.SIGKILL:
        kind.broken += [] if process.returncode == 0 and kind.same(out) == kind.same(whole_run / kind.out) else ["another end"]
        shutil.rmtree(place)
        out.mkdir(parents=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="generate,compare,clipscore,bench,cache,vae,unet")
    args = parser.parse_args()
    draw, held, total = random.Random(args.seed), True, 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # so that two runs are the same whatever else the machine does
    with tempfile.TemporaryDirectory(prefix="ldm-kills-") as folder:
        root = Path(folder)
        draw_data(root / "data")
        chosen = [kind for kind in kinds(root) if kind.name in args.kinds.split(",")]
        for number, kind in enumerate(chosen):
            whole, place = root / f"{kind.name}-whole", root / kind.name
            for each in (whole, place):
                (each / kind.out).mkdir(parents=True)
            kind.took = finish(kind, whole)
            count = args.kills // len(chosen) + (number < args.kills % len(chosen))
            for _ in range(3 * count):
                if kind.killed < count:
                    kill(kind, place, whole, draw)
            finish(kind, place, *(kind.again if any((place / kind.out).iterdir()) else []))
            equal = kind.same(whole / kind.out) == kind.same(place / kind.out)
            good, total = equal and not kind.broken, total + kind.killed
            held &= good
            figures = {"killed": kind.killed, "inside_a_write": kind.inside, "broken": kind.broken, "same_at_the_end": equal}
            print(json.dumps({"kind": kind.name, "seconds": round(kind.took, 1), **figures, "held": good}), flush=True)
            shutil.rmtree(place)
            shutil.rmtree(whole)
    print(json.dumps({"kind": "all", "killed": total, "held": held}), flush=True)
    raise SystemExit(0 if held else 1)


if __name__ == "__main__":
    main()
