"""Which ways of training the U-Net learn most from as many pictures: python scripts/bundle/recipes.py WORK [--pictures 9600] [--seeds 0,1]

WORK: a run of scripts/bundle/train that has its data, VAE and tower. Each recipe trains from random weights with unet.toml's options and
its own, on the same pictures but 2 % held out; a run that has ended is not made again. A table: loss on held-out pictures, in all and in
the noisiest quarter of the timesteps, with the weights that would ship, lower is better; seconds of the processors that it took.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

from run_stages import rows_of

CONFIG = Path(__file__).parent / "unet.toml"
BATCH = 64
RECIPES = {
    "as in unet.toml": [],
    "AdamW": ["--optimizer", "adamw", "--lr", "1.5e-3"],
    "AdamW, as many seconds": ["--optimizer", "adamw", "--lr", "1.5e-3"],
    "AdamW, twice the rate": ["--optimizer", "adamw", "--lr", "3e-3"],
    "twice the rate": ["--lr", "8e-3"],
    "all timesteps alike": ["--timestep-shift", "1"],
    "draws of the posterior": ["--posterior", "sample"],
    "min-SNR 5": ["--snr-gamma", "5"],
    "batch 32, twice the steps": ["--batch-size", "32"],
    "batch 128, half the steps": ["--batch-size", "128"],
    "zero-terminal SNR": ["--zero-terminal-snr"],
    "AdamW, batches of 16": ["--optimizer", "adamw", "--lr", "1e-3", "--batch-size", "16"],
    "three levels, 64-128-192": ["--channels", "64,128,192"],
}
"""Zero-terminal SNR is judged on noise of its own schedule, draws of the posterior on draws, whose noise nobody predicts: these rows
compare with the others only where they saw the same."""
MORE_STEPS = {"AdamW, as many seconds": 1.37}
"""What AdamW does while Muon does one, by the last column."""


def uncompiled(work: Path) -> Path:
    """unet.toml's options without the compiler, which short runs would mostly wait for."""
    options = work / "recipes" / "unet.toml"
    options.parent.mkdir(exist_ok=True)
    lines = CONFIG.read_text(encoding="utf-8").splitlines(keepends=True)
    options.write_text("".join(line for line in lines if not line.startswith("compile")), encoding="utf-8")
    return options


def train(name: str, seed: int, args: argparse.Namespace) -> dict[str, float]:
    """One run: what its log says at its end, and the processors' seconds."""
    options = RECIPES[name]
    batch = int(options[options.index("--batch-size") + 1]) if "--batch-size" in options else BATCH
    steps = round(args.pictures // batch * MORE_STEPS.get(name, 1))
    output = args.work / "recipes" / f"{name.replace(' ', '-')}-{seed}"
    log, cost = output / "log.jsonl", output / "seconds.json"
    if not cost.is_file():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        fixed = [f"--data={args.work}/emoji", f"--vae={args.work}/vae", f"--text-encoder={args.work}/tower", f"--cache={args.work}/cache"]
        rhythm = [f"--{what}-every={steps}" for what in ("save", "sample", "val")]
        given = ["--held-out=0.02", "--ema=0.97", f"--warmup={steps // 10}", f"--max-steps={steps}", f"--seed={seed}", *rhythm, *options]
        command = [sys.executable, "-m", "ldmcli", "train-unet", f"--config={uncompiled(args.work)}", *fixed, *given, "-o", str(output)]
        subprocess.run([*command, "--resume=auto"], check=True, stdout=subprocess.DEVNULL)
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        cost.write_text(json.dumps(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime), encoding="utf-8")
    last = rows_of(log)[-1]
    return {"all": last["val_loss"], "noisiest": last["val_loss_q4"], "seconds": json.loads(cost.read_text(encoding="utf-8"))}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--pictures", type=int, default=9600, help="that each run sees")
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")], default=[0, 1])
    parser.add_argument("--only", default="", help="recipes whose names have these words")
    args = parser.parse_args()
    seeds = " | ".join(f"seed {seed}" for seed in args.seeds)
    print(f"| recipe | {seeds} | noisiest quarter | seconds |\n|{' --- |' * (len(args.seeds) + 3)}", flush=True)
    for name in RECIPES:
        if args.only not in name:
            continue
        found = [train(name, seed, args) for seed in args.seeds]
        mean = {key: sum(row[key] for row in found) / len(found) for key in found[0]}
        losses = " | ".join(f"{row['all']:.4f}" for row in found)
        print(f"| {name} | {losses} | {mean['noisiest']:.4f} | {mean['seconds']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
