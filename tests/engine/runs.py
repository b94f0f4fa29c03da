"""Tiny training runs through the generator API, and what they leave behind."""

import json
import signal
from pathlib import Path

import torch

from ldmcli.config.training import TrainUNetConfig, TrainVAEConfig
from ldmcli.engine.train.unet import train_unet
from ldmcli.engine.train.vae import train_vae
from ldmcli.errors import Stopped
from ldmcli.records.training import TrainStep
from ldmcli.training import checkpoints

KINDS = ("vae", "unet")

BASE = {
    "size": 16, "batch_size": 8, "max_steps": 12, "lr": 1e-3, "lr_schedule": "cosine", "warmup": 3, "layers": 1, "held_out": 0.1,
    "log_every": 1, "save_every": 100, "sample_every": 100, "val_every": 6, "ema": 0.9, "device": "cpu",
}  # fmt: skip


LOOKING = {"max_steps": 6, "val_every": 3, "sample_every": 3, "save_every": 3}
"""A run that is validated and sampled twice."""

STILL = {"max_steps": 1, "lr": 1e-12, "warmup": 0, "ema": 0.0}
"""A run whose weights stay those it began with."""


def config_for(kind, coco, model, output, **changes):
    """Batches of 8 out of 22 pictures, so that they run over the ends of epochs."""
    if kind == "vae":
        return TrainVAEConfig(data=coco, output=output, **{**BASE, "channels": (8, 16), "perceptual_weight": 0.5, **changes})
    return TrainUNetConfig(data=coco, output=output, vae=str(model), text_encoder=str(model), **{**BASE, "channels": (32,), **changes})


def argv_for(kind, coco, model, output, **changes):
    """The same as a command line."""
    own = {"channels": (8, 16), "perceptual_weight": 0.5} if kind == "vae" else {"channels": (32,), "vae": model, "text_encoder": model}
    argv = [f"train-{kind}", "--data", str(coco), "-o", str(output)]
    for name, value in {**BASE, **own, **changes}.items():
        option = f"--{name.replace('_', '-')}"
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        argv += [option] if value is True else [option, text]
    return argv


def events_of(config):
    """The generator of a run."""
    return train_vae(config) if isinstance(config, TrainVAEConfig) else train_unet(config)


def stop_after(config, step):
    """Run to a step and send SIGTERM to ourselves there. Returns the error that ends the run."""
    try:
        for event in events_of(config):
            if isinstance(event, TrainStep) and event.step == step:
                signal.raise_signal(signal.SIGTERM)
    except Stopped as stopped:
        return stopped
    raise AssertionError("the run did not stop")


def newest(output: Path) -> checkpoints.Checkpoint:
    """The newest checkpoint, which must be whole, as must be all others."""
    found, warnings = checkpoints.newest(output / "checkpoints")
    assert found is not None and warnings == []
    return found


def assert_same_bits(one: Path, other: Path, step: int = 12):
    """The newest checkpoints, the shipped weights and every line of the logs."""
    first, second = newest(one), newest(other)
    assert first.step == second.step == step
    for name in ("network", "ema", "optimizer"):
        here, there = first.tensors(name), second.tensors(name)
        assert here.keys() == there.keys() and here
        different = [key for key in here if not torch.equal(here[key], there[key])]
        assert not different, f"{name}: {different[:3]}"
    assert log_of(one) == log_of(other)
    inference_networks = [path.relative_to(one) for path in (one / "model").glob("*/*.safetensors")]
    assert inference_networks and all((one / path).read_bytes() == (other / path).read_bytes() for path in inference_networks)


def log_of(output: Path) -> list[dict]:
    """log.jsonl without what a clock measured."""
    rows = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in ("seconds", "images_per_s")} for row in rows]


def wait_for(condition, process):
    """Until the condition holds; fails when the process ends first. process: a `Running` or a `Child`."""
    process.until(condition)
    assert condition(), process.said()


def steps_logged(run: Path) -> int:
    """Lines of log.jsonl."""
    return (run / "log.jsonl").read_text().count("\n") if (run / "log.jsonl").is_file() else 0


def saved(run: Path) -> list[int]:
    """Steps with a checkpoint."""
    return sorted(int(path.name[5:]) for path in (run / "checkpoints").glob("step-*"))
