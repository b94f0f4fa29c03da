"""Training side by side: `ldm train-unet` against diffusers' examples/text_to_image/train_text_to_image.py, in turn, as separate processes.

    python scripts/bench/training.py CONFIG_FOLDER [--parts small,sd,loss] [--precision no] [--threads 1] [--data FOLDER] [--json FILE]

CONFIG_FOLDER holds the configs and the tokenizer of Stable Diffusion v1.4, as for scripts/build_sd14.py; the weights are random. Both
sides have the same initial U-Net, pictures, batch, learning rate, precision, threads and AdamW, and an average of the weights (none in sd).

small  U-Net of channels (64,128,192) at 64 px, encoders of SD v1.4's shape: seconds of a step, and of ten epochs with the cache
sd     U-Net of SD v1.4's shape at 64 px, a few steps (16 GB of memory)
loss   the small U-Net with the bundled encoders: seconds of a step, and after 500 steps the loss on held-out pictures with fixed noise,
       by the same code for both, for the weights that each would ship

A step's seconds: median over the runs of the time between the ends of two steps, the first three left out.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from full_size import apart, run
from peer_training import Pictures, collate
from training_inputs import copy_pictures, draw_pictures, make_encoders, make_small_unet, make_unet
from transformers import CLIPTextModel, CLIPTokenizer

from ldmcli.data.layouts import load_captioned
from ldmcli.models.source import BUNDLED

SIDES = {"ldm": "our_training.py", "script": "peer_training.py"}
SIZE, SKIPPED = 64, 3
HELD_OUT, LOSS_PICTURES, LOSS_STEPS, EPOCHS = 64, 256, 500, 10

Figures = dict[str, Any]


def trained(side: str, job: dict[str, Any]) -> Figures:
    """One run of one side: seconds of each step, of the work and of the process up to the end of the last step, and peak GiB."""
    started = time.monotonic() if job["clock"] == "monotonic" else 0.0
    answer, peak = run([sys.executable, str(Path(__file__).with_name(SIDES[side])), json.dumps(job)])
    told = json.loads(answer.splitlines()[-1])
    ends = told["ends"]
    steps = [after - before for before, after in zip(ends, ends[1:], strict=False)][SKIPPED - 1 :]
    return {"steps_s": steps, "work_s": ends[-1] - told["ready"], "process_s": ends[-1] - started, "peak_gib": peak}


def alternated(job: dict[str, Any], rounds: int, scratch: Path) -> dict[str, list[Figures]]:
    """Both sides in turn, `rounds` times. A later round begins with the other side."""
    runs: dict[str, list[Figures]] = {side: [] for side in SIDES}
    for number in range(rounds):
        for side in list(SIDES)[:: 1 if number % 2 == 0 else -1]:
            runs[side].append(trained(side, {**job, "output": str(scratch / f"{side}-{number}")}))
    return runs


def row(name: str, runs: dict[str, list[Figures]], figure: Callable[[list[Figures]], float]) -> Figures:
    """One line of the table: the figure of both sides, the ratio, peak memory."""
    mine, theirs = (figure(runs[side]) for side in SIDES)
    peaks = {side: max(run["peak_gib"] for run in runs[side]) for side in SIDES}
    made = {"name": name, "ldm": mine, "script": theirs, "ratio": theirs / mine, "peak_gib": peaks}
    print(f"{name:28}{mine:>10.3f}{theirs:>10.3f}{theirs / mine:>9.2f}{peaks['ldm']:>11.2f}{peaks['script']:>11.2f}", flush=True)
    return made


def step_s(runs: list[Figures]) -> float:
    return statistics.median(second for run in runs for second in run["steps_s"])


def median_of(name: str) -> Callable[[list[Figures]], float]:
    return lambda runs: statistics.median(run[name] for run in runs)


def small(common: dict[str, Any], options: argparse.Namespace, scratch: Path) -> list[Figures]:
    """The small U-Net behind encoders of SD v1.4's shape."""
    data = pictures(options, scratch / "data", options.pictures, 0)
    init = apart(make_small_unet, Path(common["encoders"]), scratch / "init", 0)
    steps = EPOCHS * options.pictures // options.batch_size
    runs = alternated({**common, "data": str(data), "init": str(init), "steps": steps}, options.rounds, scratch)
    return [
        row("64,128,192: a step", runs, step_s),
        row("  10 epochs with the cache", runs, median_of("work_s")),
        row("  10 epochs, whole process", runs, median_of("process_s")),
    ]


def sd(common: dict[str, Any], options: argparse.Namespace, scratch: Path) -> list[Figures]:
    """The U-Net of SD v1.4's shape. Its average of the weights would need 3.4 GB more on both sides; the script's default is none."""
    data = pictures(options, scratch / "data", options.batch_size, 0)
    init = apart(make_unet, options.config, scratch / "init")
    job = {**common, "data": str(data), "init": str(init), "steps": SKIPPED + options.sd_steps, "ema": 0.0}
    return [row("SD v1.4 U-Net: a step", alternated(job, options.rounds, scratch), step_s)]


def loss(common: dict[str, Any], options: argparse.Namespace, scratch: Path) -> list[Figures]:
    """Small encoders: speed and what was learnt, with as many seeds."""
    data = pictures(options, scratch / "data", options.loss_pictures, 0)
    held_out = pictures(options, scratch / "held-out", HELD_OUT, options.loss_pictures)
    job = {**common, "data": str(data), "encoders": str(BUNDLED), "steps": LOSS_STEPS, "keep": True, "batch_size": options.loss_batch_size}
    runs: dict[str, list[Figures]] = {side: [] for side in SIDES}
    for seed in range(options.seeds):
        init = apart(make_small_unet, BUNDLED, scratch / f"init-{seed}", seed)
        for side, made in alternated({**job, "init": str(init), "seed": seed}, 1, scratch / str(seed)).items():
            inference_networks = scratch / str(seed) / f"{side}-0" / ("model" if side == "ldm" else ".") / "unet"
            runs[side].append({**made[0], "loss": apart(validation_loss, inference_networks, held_out, Path(common["scheduler"]))})
    rows = [row("bundled encoders: a step", runs, step_s), row("  loss after 500 steps", runs, mean_loss)]
    return [*rows, {"name": "losses", **{side: [run["loss"] for run in runs[side]] for side in SIDES}}]


def mean_loss(runs: list[Figures]) -> float:
    return statistics.mean(run["loss"] for run in runs)


@torch.no_grad()
def validation_loss(unet: Path, held_out: Path, scheduler: Path) -> float:
    """Mean squared error of the noise over 4 draws of every held-out picture, timesteps spread evenly; always the same draws."""
    random.seed(0)
    torch.manual_seed(0)
    data = Pictures(held_out, SIZE, CLIPTokenizer.from_pretrained(BUNDLED / "tokenizer"))
    batch = collate([data[number] for number in range(len(data))])
    vae, text = AutoencoderKL.from_pretrained(BUNDLED / "vae"), CLIPTextModel.from_pretrained(BUNDLED / "text_encoder")
    latents = (vae.encode(batch["pixel_values"]).latent_dist.mean * vae.config.scaling_factor).repeat(4, 1, 1, 1)
    states, noise = text(batch["input_ids"])[0].repeat(4, 1, 1), torch.randn(latents.shape)
    t = torch.linspace(0, 999, len(latents)).long()[torch.randperm(len(latents))]
    network = UNet2DConditionModel.from_pretrained(unet).eval()
    noisy = DDPMScheduler.from_pretrained(scheduler).add_noise(latents, noise, t)
    return (network(noisy, t, states).sample - noise).square().mean().item()


def pictures(options: argparse.Namespace, folder: Path, count: int, first: int) -> Path:
    """Training or held-out pictures, of --data or drawn."""
    return copy_pictures(options.data, folder, first, count) if options.data else draw_pictures(folder, count, first)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--parts", default="small,sd,loss")
    parser.add_argument("--precision", default="no", choices=("no", "bf16"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=16, help="As in the script.")
    parser.add_argument("--loss-batch-size", type=int, default=4)
    parser.add_argument("--pictures", type=int, default=32, help="Of part small.")
    parser.add_argument("--loss-pictures", type=int, default=LOSS_PICTURES)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sd-steps", type=int, default=3, help="Counted ones.")
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--clock", default="wall", choices=("wall", "cpu"), help="cpu: on a busy machine, with one thread.")
    parser.add_argument("--data", type=Path, help="Any data set that `ldm` reads; else pictures are drawn, with one caption each.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    needed = options.loss_pictures + HELD_OUT if "loss" in options.parts.split(",") else max(options.pictures, options.batch_size)
    if options.data and (found := len(load_captioned(options.data).images)) < needed:
        parser.error(f"--data {options.data} has {found} pictures, and {needed} are needed; see --loss-pictures.")
    return options


def main() -> None:
    options = parse()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    print(f"batch {options.batch_size}, precision {options.precision}, threads {options.threads}; {options.clock} seconds, GiB")
    print(f"{'':28}{'ldm':>10}{'script':>10}{'ratio':>9}{'peak ldm':>11}{'peak script':>12}", flush=True)
    made: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory() as folder:
        common = {
            "encoders": str(apart(make_encoders, options.config, Path(folder) / "encoders")),
            "scheduler": str(options.config / "scheduler"),
            "size": SIZE, "batch_size": options.batch_size, "lr": options.lr, "precision": options.precision, "ema": 0.999, "seed": 0,
            "keep": False, "clock": {"wall": "monotonic", "cpu": "process_time"}[options.clock],
        }  # fmt: skip
        for part in options.parts.split(","):
            made[part] = {"small": small, "sd": sd, "loss": loss}[part](common, options, Path(folder) / part)
    if options.json:
        settings = {key: str(value) for key, value in vars(options).items()}
        options.json.write_text(json.dumps({"settings": settings, **made}, indent=1) + "\n")


if __name__ == "__main__":
    main()
