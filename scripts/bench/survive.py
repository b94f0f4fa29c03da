"""What a training run survives, in fresh `ldm` processes: kills, stops, signals; against one run that goes through.

    python scripts/bench/survive.py [--kinds vae,unet] [--kills 20] [--seed 0] [--data DIR]

The U-Net trains on the bundled VAE and text tower, the data are drawn here unless named. Everything is compared bit for bit: losses of
log.jsonl, weights, optimizer and average of the newest checkpoint, and the files of RUN/model. Prints one JSON object a check, and ends
with 1 if any of them failed.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

STEPS, LONG = 12, 150
"""Of a run; of one that is killed many times on its way."""
OPTIONS = {
    "vae": ["train-vae", "--channels", "16,32,32", "--perceptual-weight", "0.5"],
    "unet": ["train-unet", "--channels", "32,64"],
}
SHARED = (
    "--size 64 --layers 1 --batch-size 8 --held-out 0.1 --lr 1e-3 --lr-schedule cosine --warmup 3 --ema 0.9 --log-every 1 "
    f"--val-every 6 --sample-every 100 --max-steps {STEPS} --device cpu --flip"
).split()


def draw_data(folder: Path, count: int = 40) -> Path:
    """Captioned pictures: 36 to train on are four and a half batches of 8."""
    folder.mkdir(parents=True)
    rows = []
    for number in range(count):
        colour = ("red", "green", "blue", "yellow")[number % 4]
        picture = Image.new("RGB", (96, 80), (5 * number, 40, 250 - 5 * number))
        ImageDraw.Draw(picture).ellipse((4 + number, 8, 40 + number, 60), fill=colour)
        picture.save(folder / f"{number:03}.png")
        rows.append(json.dumps({"file_name": f"{number:03}.png", "text": [f"a {colour} circle", f"{colour}, round"]}))
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    return folder


@dataclass
class Bench:
    """Runs of one trainer in one folder."""

    kind: str
    data: Path
    folder: Path

    def start(self, run: str, *more: str) -> subprocess.Popen[str]:
        """A fresh process."""
        command = [sys.executable, "-m", "ldmcli", *OPTIONS[self.kind], "--data", str(self.data), "-o", str(self.folder / run), *SHARED]
        return subprocess.Popen([*command, *more], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def finish(self, run: str, *more: str) -> None:
        """A run to its end."""
        process = self.start(run, *more)
        _, talk = process.communicate()
        if process.returncode:
            raise SystemExit(f"{self.kind} {run} {more}: exit {process.returncode}\n{talk}")

    def after(self, step: int, run: str, *more: str, send: signal.Signals) -> tuple[int, float]:
        """Start a run and send it a signal when a step is logged. Returns its exit code and the seconds until a checkpoint was complete."""
        process = self.start(run, *more)
        wait(process, lambda: self.logged(run) >= step)
        began, saved = time.monotonic(), self.folder / run / "checkpoints"
        process.send_signal(send)
        wait(process, lambda: any(saved.glob("step-*")))
        seconds = time.monotonic() - began
        process.communicate()
        return process.returncode, seconds

    def logged(self, run: str) -> int:
        """Lines of log.jsonl."""
        path = self.folder / run / "log.jsonl"
        return path.read_text().count("\n") if path.is_file() else 0

    def saved(self, run: str) -> list[int]:
        """Steps of the checkpoints, all of which must be whole."""
        from ldmcli.training import checkpoints

        paths = sorted((self.folder / run / "checkpoints").glob("step-*"))
        return [checkpoints.read(path).step for path in paths]

    def same(self, one: str, other: str) -> bool:
        """Whether two finished runs are equal in every bit."""
        return contents(self.folder / one) == contents(self.folder / other)


def contents(run: Path) -> tuple[list[dict[str, float]], dict[str, bytes]]:
    """The log without its times, and the files of the last checkpoint and of the model."""
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    losses = [{key: value for key, value in row.items() if key not in ("seconds", "images_per_s")} for row in rows]
    last = max((run / "checkpoints").iterdir())
    files = [*last.glob("*.safetensors"), *(path for path in (run / "model").rglob("*") if path.is_file())]
    return losses, {str(path.relative_to(run)): path.read_bytes() for path in files}


def wait(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """Until the condition holds or the process has ended."""
    while process.poll() is None and not condition():
        time.sleep(0.005)


def check(kind: str, what: str, held: bool, **figures: object) -> bool:
    """Print a line."""
    print(json.dumps({"trainer": kind, "check": what, "held": held, **figures}), flush=True)
    return held


def kills(bench: Bench, count: int, draw: random.Random) -> bool:
    """kill -9 at random moments of runs that save at every step."""
    often = ["--save-every", "1", "--keep", "2", "--max-steps", str(LONG)]
    bench.finish("long", *often)
    inside, killed, whole, steps = 0, 0, True, []
    for number in range(count):
        process = bench.start("kills", *often, "--resume", "auto")
        checkpoints = bench.folder / "kills" / "checkpoints"
        if number % 2:  # while one is being written
            wait(process, lambda checkpoints=checkpoints: any(checkpoints.glob(".step-*.tmp")))
        else:
            time.sleep(draw.uniform(1, 6))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL  # and not at its end already
        inside += any(checkpoints.glob(".step-*"))
        try:
            steps.append(max(bench.saved("kills"), default=0))
        except Exception as error:
            whole = check(bench.kind, "a checkpoint is not whole", False, error=str(error))
    bench.finish("kills", *often, "--resume", "auto")
    held = whole and killed == count and bench.same("long", "kills") and steps == sorted(steps)
    return check(bench.kind, f"{count} kill -9, then to the end", held, killed=killed, inside_a_save=inside, newest_after_each=steps)


def signals(bench: Bench) -> bool:
    """SIGTERM at the first step, amid an epoch and at the end of one; SIGUSR1; SIGINT; --max-hours."""
    held = True
    for name, step in (("first step", 1), ("mid-epoch", 3), ("epoch end", 9)):
        code, seconds = bench.after(step, f"term-{step}", send=signal.SIGTERM)
        at = bench.saved(f"term-{step}")[-1]
        last = bench.logged(f"term-{step}")
        bench.finish(f"term-{step}", "--resume", "auto")
        good = code == 143 and seconds < 30 and at == last and bench.same("straight", f"term-{step}")
        held &= check(bench.kind, f"SIGTERM, {name}, then to the end", good, exit=code, saved_after_s=round(seconds, 2), checkpoint=at)
    code, _ = bench.after(3, "usr1", "--keep", "100", send=signal.SIGUSR1)
    good = code == 0 and len(bench.saved("usr1")) > 1 and bench.same("straight", "usr1")
    held &= check(bench.kind, "SIGUSR1 saves and changes nothing", good, exit=code, checkpoints=bench.saved("usr1"))
    code, seconds = bench.after(3, "int", send=signal.SIGINT)
    bench.finish("int", "--resume", "auto")
    held &= check(
        bench.kind,
        "SIGINT, then to the end",
        code == 130 and bench.same("straight", "int"),
        exit=code,
        saved_after_s=round(seconds, 2),
    )
    bench.finish("hours", "--max-hours", "1e-9")
    at = bench.saved("hours")
    bench.finish("hours", "--resume", "auto")
    return held & check(bench.kind, "--max-hours, then to the end", at == [1] and bench.same("straight", "hours"), checkpoint=at)


def five_and_seven(bench: Bench) -> bool:
    """5 steps, kill -9 in a later one, and 7 more, with threads and with two processes, with a cache and without."""
    held = True
    bench.finish("straight-no-cache", "--no-cache")
    for workers in ("0", "2"):
        for cache in ([], ["--no-cache"]):
            run = f"five-{workers}{''.join(cache)}"
            options = ["--workers", workers, *cache]
            code, _ = bench.after(6, run, "--save-every", "5", *options, send=signal.SIGKILL)
            at = bench.saved(run)
            bench.finish(run, "--save-every", "5", "--resume", "auto", *options)
            good = code == -signal.SIGKILL and bench.same("straight-no-cache" if cache else "straight", run)
            what = f"5 + kill -9 + 7, --workers {workers}{' --no-cache' if cache else ''}"
            held &= check(bench.kind, what, good, exit=code, resumed_at=at[-1])
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", default="vae,unet")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    held = True
    with tempfile.TemporaryDirectory(prefix="ldm-survive-") as folder:
        data = args.data or draw_data(Path(folder) / "data")
        for kind in args.kinds.split(","):
            bench = Bench(kind, data, Path(folder) / kind)
            bench.finish("straight")
            held &= five_and_seven(bench)
            held &= signals(bench)
            held &= kills(bench, args.kills, random.Random(args.seed))
            shutil.rmtree(bench.folder)
    raise SystemExit(0 if held else 1)


if __name__ == "__main__":
    main()
