"""A fresh process to a picture: `ldm generate` against the shortest StableDiffusionPipeline script, same model, same picture.

    python scripts/bench/startup.py [--runs 5]

Interleaved runs, each in a new process, wall time from start to the PNG on disk; prints medians, their ratio, the largest pixel
difference of the two pictures, and `import torch` alone for scale (to_import_torch: ldm's time over it).
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from ldmcli.models.source import BUNDLED

PEER = """
import sys, torch
from diffusers import StableDiffusionPipeline
folder, target, steps, cfg = sys.argv[1:]
pipeline = StableDiffusionPipeline.from_pretrained(folder)
generator = torch.Generator().manual_seed(0)
pipeline("a dog", num_inference_steps=int(steps), guidance_scale=float(cfg), generator=generator).images[0].save(target)
"""


def seconds(command: list[str]) -> float:
    """Wall time of a command that must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", default="20")
    parser.add_argument("--cfg", default="4")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.png", Path(folder) / "theirs.png"
        generate = [sys.executable, "-m", "ldmcli", "generate", "a dog", "--seed", "0", "--scheduler", "ddim", "--overwrite"]
        commands = {
            "ldm": [*generate, "--steps", args.steps, "--cfg", args.cfg, "-o", str(ours)],
            "diffusers": [sys.executable, "-c", PEER, str(BUNDLED), str(theirs), args.steps, args.cfg],
            "import torch": [sys.executable, "-c", "import torch"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for command in commands.values():
            seconds(command)  # warm the file cache
        for _ in range(args.runs):
            for name, command in commands.items():
                times[name].append(seconds(command))
        pictures = [np.asarray(Image.open(path).convert("RGB"), dtype=int) for path in (ours, theirs)]
        medians = {name: round(statistics.median(values), 3) for name, values in times.items()}
        report = {
            "median_s": medians,
            "ratio": round(medians["diffusers"] / medians["ldm"], 2),
            "to_import_torch": round(medians["ldm"] / medians["import torch"], 2),
            "max_pixel_difference": int(abs(pictures[0] - pictures[1]).max()),
            "times_s": {name: [round(v, 3) for v in values] for name, values in times.items()},
        }
        print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
