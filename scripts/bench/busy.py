"""A busy machine: `ldm generate` and diffusers' StableDiffusionPipeline, and training steps, beside processes that compute without end.

    python scripts/bench/busy.py [--neighbours 0,1,2,4] [--rounds 5] [--steps 10] [--train-steps 20] [--before NAME=VALUE,...] [--json FILE]

Every run is a process of its own; the sides take turns, a later round in the opposite order. Both draw with the bundled model. "ldm"
waits as `ldm` decides, "before" with the variables of --before, here the default of GNU OpenMP. Drawing is the seconds of all denoising
steps, medians over the rounds; training is the optimizer steps a second of a tiny U-Net, from the median of its steps. Prints a table
and, with --json, writes every figure. The neighbours end with this process, however it ends.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from ldmcli.models.source import BUNDLED

SEED, CFG = "0", "4"
DEADLINE_S = 300
"""Of one run."""
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
TRAINED = (
    "--vae bundled --text-encoder bundled --channels 32,64 --layers 1 --size 64 --batch-size 8 --held-out 0 --log-every 1 "
    "--sample-every 1000000 --val-every 1000000 --device cpu"
)

NEIGHBOUR = """
import os, sys
parent = int(sys.argv[1])
while os.getppid() == parent:
    sum(range(100_000))
"""

PEER = """
import sys, time, torch
from diffusers import StableDiffusionPipeline
folder, steps, cfg, seed = sys.argv[1:]
pipeline = StableDiffusionPipeline.from_pretrained(folder)
pipeline.set_progress_bar_config(disable=True)
states, negative = pipeline.encode_prompt("a dog", "cpu", 1, True)
ends = []
def note(pipeline, index, timestep, tensors):
    ends.append(time.perf_counter())
    return tensors
started = time.perf_counter()
pipeline(
    prompt_embeds=states, negative_prompt_embeds=negative, num_inference_steps=int(steps), guidance_scale=float(cfg),
    generator=torch.Generator().manual_seed(int(seed)), callback_on_step_end=note,
)
print(ends[-1] - started)
"""

Environment = Mapping[str, str]


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """`count` processes that only compute, while inside. They end by themselves when this process is gone."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            started.append(subprocess.Popen([sys.executable, "-c", NEIGHBOUR, str(os.getpid())]))
        yield
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()


def answer(command: list[str], environment: Environment) -> str:
    """What a command that must succeed in time says on stdout."""
    done = subprocess.run(command, env={**environment}, capture_output=True, text=True, timeout=DEADLINE_S)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def ours(steps: int, environment: Environment) -> float:
    """Denoising seconds of `ldm generate`."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = ["generate", "a dog", "--steps", str(steps), "--cfg", CFG, "--seed", SEED, "--device", "cpu", "-o", f"{folder}/", "--json"]
        return json.loads(answer([sys.executable, "-m", "ldmcli", *drawn], environment))["timing"]["denoise_s"]


def theirs(steps: int, environment: Environment) -> float:
    """Denoising seconds of StableDiffusionPipeline."""
    command = [sys.executable, "-c", PEER, str(BUNDLED), str(steps), CFG, SEED]
    return float(answer(command, environment).splitlines()[-1])


def training(data: Path, steps: int, environment: Environment) -> float:
    """Optimizer steps a second of `ldm train-unet` with a tiny U-Net on the bundled VAE and text encoder."""
    with tempfile.TemporaryDirectory() as folder:
        named = ["--data", str(data), "-o", f"{folder}/run", "--cache", f"{folder}/cache", "--max-steps", str(steps)]
        run = ["train-unet", *named, *TRAINED.split(), "-q"]
        answer([sys.executable, "-m", "ldmcli", *run], environment)
        rows = [json.loads(line) for line in (Path(folder) / "run" / "log.jsonl").read_text().splitlines()]
    return 1 / statistics.median(row["seconds"] for row in rows[len(rows) // 4 :])


def draw_data(folder: Path, count: int = 16) -> Path:
    """Captioned pictures of one colour each."""
    folder.mkdir()
    for number in range(count):
        Image.new("RGB", (64, 64), (15 * number, 80, 240 - 15 * number)).save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(f"colour {number}")
    return folder


def measured(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Every side's figures, in turn."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
            found[name].append(round(sides[name](), 4))
    return found


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neighbours", default="0,1,2,4")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10, help="0: no drawing.")
    parser.add_argument("--train-steps", type=int, default=20, help="0: no training.")
    parser.add_argument("--before", default="GOMP_SPINCOUNT=300000,KMP_BLOCKTIME=200", help="NAME=VALUE,...; empty: leave this side out.")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def sides(options: argparse.Namespace, data: Path) -> dict[str, dict[str, Callable[[], float]]]:
    """What is measured, by kind and side."""
    plain = {name: value for name, value in os.environ.items() if name not in WAITING}
    own = {"ldm": plain}
    if options.before:
        own["before"] = plain | dict(pair.split("=", 1) for pair in options.before.split(","))
    kinds: dict[str, dict[str, Callable[[], float]]] = {}
    if options.steps:
        kinds["denoise_s"] = {name: partial(ours, options.steps, environment) for name, environment in own.items()}
        kinds["denoise_s"]["diffusers"] = partial(theirs, options.steps, plain)
    if options.train_steps:
        trained = {name: partial(training, data, options.train_steps, environment) for name, environment in own.items()}
        kinds["training_steps_per_s"] = trained
    return kinds


def main() -> None:
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of `finally`
    settings = {name: str(value) for name, value in vars(options).items()}
    made: dict[str, Any] = {"cores": os.cpu_count(), "settings": settings, "neighbours": {}}
    with tempfile.TemporaryDirectory() as folder:
        kinds = sides(options, draw_data(Path(folder) / "data"))
        for count in map(int, options.neighbours.split(",")):
            with neighbours(count):
                found = {kind: measured(each, options.rounds) for kind, each in kinds.items()}
            medians = {kind: {side: statistics.median(values) for side, values in each.items()} for kind, each in found.items()}
            print(f"{count} beside: {json.dumps(medians)}", flush=True)
            made["neighbours"][str(count)] = {"median": medians, "all": found}
    if options.json:
        options.json.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
