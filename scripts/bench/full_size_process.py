"""A process that draws one picture with a model in SD v1.4's full size: seconds to the first U-Net call and to the picture, peak memory.

    python scripts/build_sd14.py CONFIG_FOLDER OUT
    python scripts/bench/full_size_process.py OUT/diffusers [--size 256] [--steps 2] [--runs 3] [--low-memory] [--cyllama PYTHON]

`ldm generate` and the shortest StableDiffusionPipeline script in turn, each in a process of its own, the files in the system's cache; with
--cyllama also stable-diffusion.cpp, by the Python of an environment that has cyllama, from OUT/single.safetensors. Prints one JSON
document: medians, and every run. peak_gib is what the system counts as the process's most (pages of mapped files included), anonymous_gib
the most of it that was no file's, looked at 50 times a second. over_peer: ldm's median over each other's.
"""

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from full_size_call import machine

FIRST_CALL = """
import gc, sys, time
gc.set_threshold(50_000)
from torch.nn.modules.module import register_module_forward_pre_hook
def look(module, inputs):
    if any(kind.__name__ in ("UNet", "UNet2DConditionModel") for kind in type(module).__mro__):
        hook.remove()
        print("first call", time.time(), file=sys.stderr, flush=True)
hook = register_module_forward_pre_hook(look)
"""

LDM = "from ldmcli.runtime.threads import wait_briefly\nwait_briefly()\n" + FIRST_CALL + "from ldmcli.__main__ import run\nrun()\n"

DIFFUSERS = (
    FIRST_CALL.replace("gc.set_threshold(50_000)\n", "")
    + """
import torch
from diffusers import StableDiffusionPipeline
model, size, steps, target = sys.argv[1:]
pipeline = StableDiffusionPipeline.from_pretrained(model, local_files_only=True)
options = {"num_inference_steps": int(steps), "guidance_scale": 7.5, "height": int(size), "width": int(size)}
pipeline("a dog", generator=torch.Generator().manual_seed(0), **options).images[0].save(target)
"""
)

CYLLAMA = """
import sys
from cyllama.sd import text_to_image
model, size, steps, target = sys.argv[1:]
text_to_image(model_path=model, prompt="a dog", width=int(size), height=int(size), sample_steps=int(steps), cfg_scale=7.5, seed=0)
"""


def measured(command: list[str]) -> dict[str, float]:
    """One process, which must succeed."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    started, anonymous = time.time(), 0
    with tempfile.TemporaryFile("w+") as talk:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=talk, env=environment)
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            anonymous = max(anonymous, anonymous_kib(process.pid))
            time.sleep(0.02)
        seconds, process.returncode = time.time() - started, os.waitstatus_to_exitcode(ended[1])
        talk.seek(0)
        said = talk.read()
    if process.returncode:
        raise SystemExit(f"{command[:2]}: exit {process.returncode}\n{said}")
    first = [float(when) - started for when in re.findall(r"first call ([0-9.]+)", said)]  # a progress bar may stand before it
    found = {"seconds": seconds, "peak_gib": ended[2].ru_maxrss / 2**20, "anonymous_gib": anonymous / 2**20}
    return found | ({"first_call_s": first[0]} if first else {})


def anonymous_kib(pid: int) -> int:
    """Of a running process; 0 of one that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


def commands(args: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
    """Each way's own."""
    size, steps, python = str(args.size), str(args.steps), sys.executable
    options = ["--size", size, "--steps", steps, "--cfg", "7.5", "-s", "0", "--device", "cpu", "--overwrite", "-q"]
    ours = [python, "-c", LDM, "generate", "a dog", "-m", str(args.model), *options, "-o", str(folder / "ldm.png")]
    ways = {"ldm": ours, "diffusers": [python, "-c", DIFFUSERS, str(args.model), size, steps, str(folder / "diffusers.png")]}
    if args.low_memory:
        ways["ldm --low-memory"] = [*ours, "--low-memory"]
    if args.cyllama:
        ways["stable-diffusion.cpp"] = [args.cyllama, "-c", CYLLAMA, str(args.model.parent / "single.safetensors"), size, steps, ""]
    return {name: way for name, way in ways.items() if args.only is None or name in args.only.split(",")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--low-memory", action="store_true")
    parser.add_argument("--cyllama", metavar="PYTHON")
    parser.add_argument("--only", metavar="NAMES", help="Of the ways: ldm, diffusers, stable-diffusion.cpp, ...")
    args = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        ways = commands(args, Path(folder))
        for _ in range(args.runs):
            for name, command in ways.items():
                runs.setdefault(name, []).append(measured(command))
    medians: dict[str, dict[str, float]] = {
        name: {key: round(statistics.median(run[key] for run in found), 3) for key in found[0]} for name, found in runs.items()
    }
    ours: dict[str, Any] = medians.get("ldm", {})
    report = {
        "row": "fresh process, SD v1.4 shape",
        "size": args.size,
        "steps": args.steps,
        "medians": medians,
        "over_peer": {
            name: {key: round(ours[key] / value, 3) for key, value in found.items() if key in ours}
            for name, found in medians.items()
            if name != "ldm" and ours
        },
        "runs": {name: [{key: round(value, 3) for key, value in run.items()} for run in found] for name, found in runs.items()},
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        **machine(),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
