"""Runs of two processes, as they are typed and as launchers start them."""

import json
import os
import runpy
import sys
from pathlib import Path

import torch
from children import ldm_together
from forks import ended, fork
from launch import ENVIRONMENT, launcher_words
from runs import BASE, config_for, events_of, log_of, newest

STEPS = 6  # over two epochs; rounding grows with every step, and after twenty not every machine stays within 1e-5
RUN = {**BASE, "max_steps": STEPS, "warmup": 100, "crop": "random", "flip": True, "save_every": STEPS, "val_every": STEPS}
OWN = {"vae": {"perceptual_weight": 0.5, "channels": (8, 16)}, "unet": {"snr_gamma": 5.0, "channels": (32,)}}
TWO_PARTS = {"batch_size": 4, "grad_accum": 2}
FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
"""What `accelerate launch --use_fsdp --fsdp_version 2` says to processes."""


def run_alone(kind, coco, model, output, **changes):
    """In this process."""
    return list(events_of(config_for(kind, coco, model, output, **{**RUN, **OWN[kind], **changes})))


def typed(kind, coco, model, output, **changes):
    """The same as a command line."""
    options = {**RUN, **OWN[kind], "data": coco, "output": output, **changes}
    if kind == "unet":
        options |= {"vae": model, "text_encoder": model}
    words = [f"train-{kind}"]
    for name, value in options.items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        words += ["--" + name.replace("_", "-"), *([] if value is True else [text])]
    return words


def run_in_two(kind, coco, model, output, launcher=None, **changes):
    """The same by two forks with the variables that a launcher would set, or that this one sets. Returns (stdout, stderr) of both."""
    words = typed(kind, coco, model, output, **changes)
    words_of_each, variables = [words] * 2, ()
    if launcher:
        words_of_each, variables = zip(*as_launched(launcher, *words, folder=output.parent), strict=True)
    both = ended(ldm_together(words_of_each, output.parent, variables))
    assert [code for code, *_ in both] == [0, 0], both
    return "".join(out for _, out, _ in both), "".join(err for *_, err in both)


def as_launched(launcher: str, *arguments: object, folder: Path) -> list[tuple[list[str], dict[str, str]]]:
    """What torchrun or `accelerate launch` hands to each of two processes: (arguments, environment).

    Their rendezvous is their own, for the launcher is gone. It runs in a fork, since it imports torch.
    """
    module, *words = launcher_words(launcher)

    def work() -> int:
        helpers = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        os.environ.update(ENVIRONMENT, NOTED=str(folder), PYTHONPATH=os.pathsep.join(filter(None, helpers)))
        sys.argv = [module, *words, "-m", "noted", *map(str, arguments)]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return 0

    child = fork(work, folder / "launcher")
    assert child.wait() == 0, child.said()
    started = [json.loads((folder / str(number)).read_text()) for number in range(2)]
    return [(argv, {name: value for name, value in env.items() if name != "TORCHELASTIC_USE_AGENT_STORE"}) for argv, env in started]


def assert_same_bits(one: Path, other: Path):
    """Logs, weights, average, optimizer."""
    assert log_of(one) == log_of(other)
    for name in ("network", "ema", "optimizer"):
        here, there = newest(one).tensors(name), newest(other).tensors(name)
        assert here.keys() == there.keys() and all(torch.equal(here[key], there[key]) for key in here), name


def files(folder: Path) -> dict[str, bytes]:
    """All of a folder, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
