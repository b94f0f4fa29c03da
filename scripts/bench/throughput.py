"""Many prompts: `ldm generate -f` against a StableDiffusionPipeline script at its best batch size, same model, steps and guidance.

    python scripts/bench/throughput.py [--prompts 64] [--runs 7] [--batch-sizes 4,8,16,32] [--steps 10] [--preset NAME]

Every run is a fresh process. diffusers' best batch size is found first, one run each; then the sides take turns. Prints a JSON line:
medians of whole seconds and of seconds without start and loading, pictures a second, and what the peer takes over each of ours. With
openvino installed `--backend openvino` runs too; its compiled network is on disk after the first run, which does not count.
With --preset ours draw by that preset and diffusers by PNDM with 50 steps, which is what its quality was held against (presets.py).
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch

from ldmcli.models.source import BUNDLED

CFG = 2.0
DEADLINE_S = 600
"""Of one run."""

PEER = """
import sys, time, json
from diffusers import DDIMScheduler, PNDMScheduler, StableDiffusionPipeline
import torch
folder, listed, out, steps, cfg, size, method = sys.argv[1:]
prompts = open(listed).read().splitlines()
pipeline = StableDiffusionPipeline.from_pretrained(folder)
pipeline.set_progress_bar_config(disable=True)
if method == "pndm":
    pipeline.scheduler = PNDMScheduler.from_config(pipeline.scheduler.config, skip_prk_steps=True)
began, number = time.perf_counter(), 0
for at in range(0, len(prompts), int(size)):
    part = prompts[at : at + int(size)]
    generators = [torch.Generator().manual_seed(at + i) for i in range(len(part))]
    for picture in pipeline(part, num_inference_steps=int(steps), guidance_scale=float(cfg), generator=generators).images:
        picture.save(f"{out}/{number:05d}.png")
        number += 1
print(json.dumps(time.perf_counter() - began))
"""
Run = Callable[[], tuple[float, float]]
"""Whole seconds, and those without start and loading."""


def timed(command: list[str]) -> tuple[float, str]:
    """Wall time and output of a command that must succeed."""
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE_S)
    return time.perf_counter() - started, done.stdout


def ours(listed: Path, sampling: list[str], *more: str) -> tuple[float, float]:
    """One `ldm generate` of all prompts."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ldmcli", "generate", "-f", str(listed), *sampling, "--cfg", str(CFG)]
        whole, text = timed([*command, "--seed", "0", "--device", "cpu", "--json", "-o", f"{folder}/", *more])
        report = json.loads(text.strip().splitlines()[-1])
        assert len(list(Path(folder).glob("*.png"))) == len(listed.read_text().splitlines())
        return whole, report["timing"]["total_s"] - report["timing"]["load_s"]


def theirs(listed: Path, steps: int, size: int, method: str) -> tuple[float, float]:
    """One run of the peer's script."""
    with tempfile.TemporaryDirectory() as folder:
        whole, text = timed([sys.executable, "-c", PEER, str(BUNDLED), str(listed), folder, str(steps), str(CFG), str(size), method])
        return whole, float(text.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--batch-sizes", default="4,8,16,32")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--preset", choices=("exact", "balanced", "fast"))
    args = parser.parse_args()
    lines = [line for line in (Path(__file__).parent / "prompts.txt").read_text(encoding="utf-8").splitlines() if line]
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "prompts.txt"
        listed.write_text("\n".join((lines * args.prompts)[: args.prompts]) + "\n", encoding="utf-8")
        sampling = ["--preset", args.preset] if args.preset else ["--steps", str(args.steps), "--scheduler", "ddim"]
        steps, method = (50, "pndm") if args.preset else (args.steps, "ddim")
        tried = {size: theirs(listed, steps, size, method)[1] for size in map(int, args.batch_sizes.split(","))}
        best = min(tried, key=lambda size: tried[size])
        sides: dict[str, Run] = {"ldm": lambda: ours(listed, sampling), "diffusers": lambda: theirs(listed, steps, best, method)}
        if find_spec("openvino"):
            sides["ldm --backend openvino"] = lambda: ours(listed, sampling, "--backend", "openvino")
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for number in range(-1, args.runs):
            for name, run in sides.items():
                seconds = run()
                if number >= 0:
                    found[name].append(seconds)
    whole, warm = ({name: statistics.median(run[i] for run in runs) for name, runs in found.items()} for i in (0, 1))
    facts = {"machine": platform.machine(), "threads": torch.get_num_threads(), "torch": torch.__version__, "runs": args.runs}
    row = {
        "what": "many prompts", "prompts": args.prompts, "steps": steps, "preset": args.preset, "their_batch_size": best,
        "seconds": whole, "seconds_warm": warm, "pictures_a_second": {name: args.prompts / value for name, value in warm.items()},
        "diffusers_over": {name: whole["diffusers"] / value for name, value in whole.items()},
        "diffusers_over_warm": {name: warm["diffusers"] / value for name, value in warm.items()}, **facts,
    }  # fmt: skip
    print(json.dumps(row))


if __name__ == "__main__":
    main()
