"""Where a training run computes, and in which precision, as its options and what launched it say."""

import os
from collections.abc import Generator
from typing import Any

import torch

from ldmcli.config.training import TrainConfig
from ldmcli.data.captioned import CaptionedImages
from ldmcli.engine.train.sharding import sharding_note, sharding_of
from ldmcli.errors import UsageError
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.runtime.device import half_on_cpu, select_device
from ldmcli.runtime.memory import keep_freed_memory
from ldmcli.runtime.sharding import without_accelerates_own

LAUNCHERS_PARTS, LAUNCHERS_PRECISION = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "ACCELERATE_MIXED_PRECISION"
"""What `accelerate launch --gradient_accumulation_steps` and `--mixed_precision` set; without them 1 and no."""


def make_accelerator(config: TrainConfig) -> tuple[Any, Note]:
    """accelerate's Accelerator for the device and precision, and why these."""
    from accelerate import Accelerator
    from accelerate.utils import GradientAccumulationPlugin

    device, reason = select_device(config.device)
    precision = config.mixed_precision
    if precision == "auto":
        on_gpu = device.type == "cuda"
        precision = ("bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16") if on_gpu else "no"
    if precision == "fp16" and device.type == "cpu":  # accelerate would go on in fp32 without a word
        raise UsageError("--mixed-precision fp16 needs a GPU.", hint="On a CPU use --mixed-precision no or bf16.")
    slow = f"; {half_on_cpu(torch.bfloat16)}" if precision == "bf16" and device.type == "cpu" else ""
    # The loop divides by --grad-accum itself; without a plugin accelerate would divide again by what the environment says.
    alone = GradientAccumulationPlugin(num_steps=1)
    with without_accelerates_own():
        accelerator = Accelerator(mixed_precision=precision, cpu=device.type == "cpu", gradient_accumulation_plugin=alone)
    instead = {
        LAUNCHERS_PARTS: ("--grad-accum", ("", "1", str(config.grad_accum))),
        LAUNCHERS_PRECISION: ("--mixed-precision", ("", "no", precision)),
    }
    said = {name: os.environ.get(name, "") for name in instead}
    other = "".join(
        f"; {name}={said[name]} is not used: see {option}" for name, (option, same) in instead.items() if said[name] not in same
    )
    several = f"; {accelerator.num_processes} processes, --batch-size is of each" if accelerator.num_processes > 1 else ""
    return accelerator, Note(f"training on {accelerator.device} ({reason}), mixed precision: {precision}{slow}{several}{other}")


def open_run(config: TrainConfig, data: CaptionedImages) -> Generator[Event, None, Any]:
    """What is wrong with the data, and where training runs, said aloud. Returns the accelerator."""
    yield from (Note(text, warning=True) for text in data.problems)
    accelerator, note = make_accelerator(config)
    if accelerator.device.type == "cpu":
        keep_freed_memory(for_training=True)
    if accelerator.mixed_precision == "fp16" and sharding_of(config):
        raise UsageError("FSDP does not go with fp16, the half precision of this GPU.", hint="Use --mixed-precision no.")
    yield Note(f"{note.text}{sharding_note(config)}")
    return accelerator
