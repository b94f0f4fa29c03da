"""`ldm train-unet`, timed from outside, for scripts/bench/training.py; run as a process of its own.

    python scripts/bench/our_training.py JOB_AS_JSON

Walks through the same events that the command shows, cache and all. Prints when the encoders were loaded and when each
step's event came: what the run does between two steps (log, memory, signals) is part of a step.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from ldmcli.config.training import TrainUNetConfig
from ldmcli.engine.train.unet import train_unet
from ldmcli.records.training import TrainStep
from ldmcli.runtime.device import set_threads


def config_of(job: dict[str, Any]) -> TrainUNetConfig:
    """The options of the command. Without job["keep"] the run is left before its end, so it is given one that it will not reach."""
    return TrainUNetConfig(
        data=Path(job["data"]), output=Path(job["output"]), vae=job["encoders"], text_encoder=job["encoders"], init=job["init"],
        size=job["size"], max_steps=job["steps"] if job["keep"] else 10**9, batch_size=job["batch_size"], lr=job["lr"], warmup=0,
        ema=job["ema"], cfg_dropout=0.0, schedule="scaled-linear", prediction="epsilon", mixed_precision=job["precision"], held_out=0.0,
        save_every=10**9, sample_every=10**9, val_every=10**9, seed=job["seed"], device="cpu",
    )  # fmt: skip


def train(job: dict[str, Any]) -> dict[str, Any]:
    """When the encoders were loaded, before any picture is read, and when each step ended.

    With job["keep"] the model is written to job["output"]/model.
    """
    events = train_unet(config_of(job))
    clock = getattr(time, job["clock"])
    next(events)
    ready, ends = clock(), list[float]()
    for event in events:
        if isinstance(event, TrainStep):
            ends.append(clock())
            if len(ends) == job["steps"] and not job["keep"]:
                break
    events.close()  # type: ignore[attr-defined]
    return {"ready": ready, "ends": ends}


if __name__ == "__main__":
    set_threads()
    print(json.dumps(train(json.loads(sys.argv[1]))))
