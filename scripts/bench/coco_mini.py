"""A model of your own from a handful of photographs: the README's three commands, and every figure that they end with.

    python scripts/bench/coco_mini.py DATA [-o RUNS]

DATA: a folder of captioned pictures, such as 80 of COCO. Prints one JSON document: held-out PSNR of the autoencoder beside that of the mean
colour of its 8 x 8 blocks, the U-Net's validation loss per quarter of the timesteps beside that of a predictor that knows only the
variance, wall and CPU time of each command. The sample sheets lie in RUNS/*/samples. Exits with 1 where one of the two is not beaten.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

VAE = "--held-out 0.2 --batch-size 8 --epochs 80 --lr 2e-3 --warmup 50 --lr-schedule cosine --crop random --flip"
UNET = "--held-out 0.2 --batch-size 16 --epochs 20"
PROMPTS = ("a red bus", "a man on a surfboard")
MARGIN = 0.9
"""The U-Net must have at most this share of the loss of one that knows only the variance."""


def timed(*command: str) -> dict[str, Any]:
    """What `ldm COMMAND --json` printed, with the seconds that it took. Its talk goes to stderr."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "ldmcli", *command, "--json"], check=True, stdout=subprocess.PIPE, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(done.stdout), "wall_s": round(time.perf_counter() - started, 1), "cpu_s": round(cpu, 1)}


def measured(data: str, runs: Path) -> dict[str, Any]:
    """The three commands one after the other."""
    vae = timed("train-vae", "--data", data, "-o", f"{runs}/vae", *VAE.split())
    unet = timed("train-unet", "--data", data, "--vae", f"{runs}/vae", "-o", f"{runs}/unet", *UNET.split())
    drawn = timed("generate", "-m", f"{runs}/unet", *PROMPTS, "--seed", "0", "-o", f"{runs}/drawn/")
    return {
        "threads": os.environ.get("OMP_NUM_THREADS", os.cpu_count()),
        "train-vae": vae,
        "train-unet": unet,
        "generate": {"wall_s": drawn["wall_s"], "cpu_s": drawn["cpu_s"], "images": [image["path"] for image in drawn["images"]]},
        "psnr_above_block_mean": round(vae["val_psnr"] - vae["val_psnr_block_mean"], 3),
        "loss_over_variance_only": round(unet["val_loss"] / unet["val_variance_only"], 4),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("-o", "--output", type=Path, help="A new folder for the runs (default: a temporary one).")
    args = parser.parse_args()
    figures = measured(args.data, args.output or Path(tempfile.mkdtemp(prefix="coco-mini-")))
    print(json.dumps(figures, indent=1))
    return int(figures["psnr_above_block_mean"] < 0 or figures["loss_over_variance_only"] > MARGIN)


if __name__ == "__main__":
    sys.exit(main())
