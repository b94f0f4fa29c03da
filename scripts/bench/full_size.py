"""SD v1.4 in full size on both sides: `ldm generate` against StableDiffusionPipeline, each in a process of its own.

    python scripts/build_sd14.py CONFIG_FOLDER OUT
    python scripts/bench/full_size.py OUT [--size 512] [--steps 2] [--schedulers ddim,euler] [--forms single]

OUT is loaded in all three forms with the network switched off. Prints, per form and scheduler, the seconds of a picture (a process's first
one with the load), the largest difference of the two pictures in 255ths, the contrast of ours (a grey picture would prove nothing), and the
peak memory of each process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SCHEDULERS = {
    "ddim": ("DDIMScheduler", {"timestep_spacing": "leading"}),
    "pndm": ("PNDMScheduler", {"timestep_spacing": "leading"}),
    "dpm++2m-karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True, "timestep_spacing": "linspace"}),
    "unipc": ("UniPCMultistepScheduler", {"timestep_spacing": "linspace"}),
    "euler": ("EulerDiscreteScheduler", {"timestep_spacing": "linspace"}),
}

PEER = """
import json, sys, time
started = time.perf_counter()
import diffusers, torch
job = json.loads(sys.argv[1])
kind = diffusers.StableDiffusionPipeline
if job["form"] == "single":
    pipeline = kind.from_single_file(job["model"], config=job["config"], local_files_only=True, torch_dtype=torch.float32)
else:
    variant = "fp16" if job["form"] == "fp16" else None
    pipeline = kind.from_pretrained(job["model"], variant=variant, torch_dtype=torch.float32, local_files_only=True)
pipeline.set_progress_bar_config(disable=True)
config = pipeline.scheduler.config
for name, target in job["pictures"]:
    scheduler, settings = job["schedulers"][name]
    pipeline.scheduler = getattr(diffusers, scheduler).from_config(config, **settings)
    options = {"num_inference_steps": job["steps"], "guidance_scale": 7.5, "height": job["size"], "width": job["size"]}
    pipeline("a cat and a dog", generator=torch.Generator().manual_seed(0), **options).images[0].save(target)
    print(time.perf_counter() - started, flush=True)
    started = time.perf_counter()
"""


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Its result, from a process of its own: what this process has ever held counts as the peak of those that it starts."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def run(command: list[str]) -> tuple[str, float]:
    """Output and peak memory in GiB of a process that must succeed."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile("w+") as talk:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=talk, text=True, env=environment)
        assert process.stdout is not None
        answer = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            talk.seek(0)
            sys.exit(f"{command[:4]}: exit {process.returncode}\n{talk.read()}")
    return answer, used.ru_maxrss / 2**20


def drawn_by_ldm(model: Path, tokenizer: Path, names: list[str], folder: Path, options: argparse.Namespace) -> tuple[list[float], float]:
    """Seconds of each picture, the load counted with the first, and peak GiB."""
    command = [sys.executable, "-m", "ldmcli", "generate", "a cat and a dog", "-m", str(model), "--tokenizer", str(tokenizer), "--offline"]
    command += ["--size", str(options.size), "--steps", str(options.steps), "--cfg", "7.5", "-s", "0", "--device", "cpu", "--json"]
    answer, peak = run([*command, "--sweep", f"scheduler={','.join(names)}", "-o", f"{folder}/"])
    report = json.loads(answer)
    assert [image["scheduler"] for image in report["images"]] == names
    seconds = [image["seconds"] for image in report["images"]]
    for image, name in zip(report["images"], names, strict=True):
        Path(image["path"]).rename(folder / f"{name}.png")
    return [report["timing"]["total_s"] - sum(seconds[1:]), *seconds[1:]], peak


def drawn_by_diffusers(
    form: str, model: Path, config: Path, names: list[str], folder: Path, options: argparse.Namespace
) -> tuple[list[float], float]:
    """The same of the pipeline."""
    pictures = [(name, str(folder / f"{name}.png")) for name in names]
    job = {"form": form, "model": str(model), "config": str(config), "pictures": pictures, "schedulers": SCHEDULERS}
    answer, peak = run([sys.executable, "-c", PEER, json.dumps(job | {"steps": options.steps, "size": options.size})])
    return [float(line) for line in answer.split()], peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--schedulers", default=",".join(SCHEDULERS))
    parser.add_argument("--forms", default="diffusers,single,fp16", help="Schedulers after the first: only of the first form.")
    options = parser.parse_args()
    forms = {"diffusers": options.models / "diffusers", "single": options.models / "single.safetensors", "fp16": options.models / "fp16"}
    print(f"{'form':10} {'scheduler':15} {'ldm':>8} {'diffusers':>10} {'difference':>11} {'contrast':>9}   seconds; of 255", flush=True)
    schedulers, wanted = options.schedulers.split(","), options.forms.split(",")
    for form in wanted:
        model, names = forms[form], schedulers if form == wanted[0] else schedulers[:1]
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = Path(folder) / "ours", Path(folder) / "theirs"
            ours.mkdir()
            theirs.mkdir()
            config = forms["diffusers"]
            seconds, peak = drawn_by_ldm(model, config / "tokenizer", names, ours, options)
            their_seconds, their_peak = drawn_by_diffusers(form, model, config, names, theirs, options)
            for name, mine, other in zip(names, seconds, their_seconds, strict=True):
                a, b = (np.asarray(Image.open(side / f"{name}.png"), dtype=int) for side in (ours, theirs))
                print(f"{form:10} {name:15} {mine:>8.1f} {other:>10.1f} {abs(a - b).max():>11} {a.std():>9.1f}", flush=True)
            print(f"{form:10} {'peak GiB':15} {peak:>8.2f} {their_peak:>10.2f}", flush=True)


if __name__ == "__main__":
    main()
