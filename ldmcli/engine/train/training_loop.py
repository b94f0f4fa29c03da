"""What train-vae and train-unet share: the run folder, resuming, the rhythm of saving and sampling, stopping."""

import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ldmcli.config.training import TrainConfig
from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.row_sources import DecodedOnDemand, RowSource, StreamedPictures
from ldmcli.engine.train.checkpointing import Checkpointer, Hooks
from ldmcli.engine.train.context import DataSplit, GlobalBatch, RunContext
from ldmcli.engine.train.optimizers import make_optimizer
from ldmcli.engine.train.picture_counts import check_enough
from ldmcli.engine.train.sharding import sharding_note, sharding_of, travels_in_half
from ldmcli.engine.train.tracker import tracking
from ldmcli.errors import PeerLost, Stopped, UsageError
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.records.training import TrainStep
from ldmcli.runtime.device import half_on_cpu, select_device
from ldmcli.runtime.sharding import without_accelerates_own
from ldmcli.training import signals
from ldmcli.training.block_order import BlockOrder
from ldmcli.training.ema import EMA
from ldmcli.training.loop import LoopConfig, Terms, train
from ldmcli.training.shards import share_out
from ldmcli.training.state import TrainState

Loss = Callable[[int, int], Terms]
"""(step, accumulation part) to the terms of its loss."""

LAUNCHERS_PARTS = "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"
"""What `accelerate launch --gradient_accumulation_steps` sets."""


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
    parts = os.environ.get(LAUNCHERS_PARTS, "1")
    other = "" if parts in ("", "1", str(config.grad_accum)) else f"; {LAUNCHERS_PARTS}={parts} is not used: see --grad-accum"
    several = f"; {accelerator.num_processes} processes, --batch-size is of each" if accelerator.num_processes > 1 else ""
    return accelerator, Note(f"training on {accelerator.device} ({reason}), mixed precision: {precision}{slow}{several}{other}")


def open_run(config: TrainConfig, data: CaptionedImages) -> Generator[Event, None, Any]:
    """What is wrong with the data, and where training runs, said aloud. Returns the accelerator."""
    yield from (Note(text, warning=True) for text in data.problems)
    accelerator, note = make_accelerator(config)
    if accelerator.mixed_precision == "fp16" and sharding_of(config):
        raise UsageError("FSDP does not go with fp16, the half precision of this GPU.", hint="Use --mixed-precision no.")
    yield Note(f"{note.text}{sharding_note(config)}")
    return accelerator


def make_state(
    network: nn.Module,
    config: TrainConfig,
    accelerator: Any,
    groups: Callable[[], list[dict[str, Any]]] | None = None,
    blocks: tuple[type[nn.Module], ...] = (),
) -> tuple[TrainState, nn.Module]:
    """The state of a new run, and the network as it should be called in the loss (wrapped for precision and processes).

    groups: of the optimizer, where they are not one; their `lr_factor` multiplies the learning rate. blocks: the kinds of modules by which
    the network is shared out where accelerate's configuration asks for that; without any it stays whole.
    """
    sharding = sharding_of(config) if blocks else None
    if sharding is None:
        network.to(accelerator.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    else:  # by pieces, which can only lie in plain order
        half = travels_in_half(config, accelerator.mixed_precision)
        share_out(network, blocks, accelerator.device, reshard=sharding.reshard_after_forward, half=half)
    optimizer = make_optimizer(network, groups() if groups else network.parameters(), config, accelerator)
    whole = {} if sharding is None else {"device_placement": False, "evaluation_mode": True}  # its precision, and no DDP
    prepared = accelerator.prepare_model(network, **whole)
    state = TrainState(network, optimizer, EMA(network, config.ema) if config.ema else None, scaler=accelerator.scaler, prepared=prepared)
    return state, prepared


def compiled(network: nn.Module, config: TrainConfig) -> Any:
    """The network as the loss calls it: as it is, or compiled where --compile asks for that."""
    return torch.compile(network) if config.compile else network


def loop_config(config: TrainConfig, pictures: int, processes: int) -> LoopConfig:
    """Turn epochs into steps. Raises UsageError when there are fewer pictures than one batch holds."""
    check_enough(pictures, 0, config, processes)
    per_step = config.batch_size * config.grad_accum * processes
    steps = config.max_steps or max(round(config.epochs * pictures / per_step), 1)
    return LoopConfig(
        max_steps=steps,
        lr=config.lr,
        lr_schedule=config.lr_schedule,
        warmup=config.warmup,
        max_grad_norm=config.max_grad_norm,
        grad_accum=config.grad_accum,
        pictures_per_step=per_step,
    )


def prefetching(loss_of: Loss, pixels: RowSource, split: DataSplit, batch: GlobalBatch) -> Loss:
    """The same loss. Where pictures are decoded on demand, those of the next part of a step are read while this one is computed."""
    if not isinstance(pixels, DecodedOnDemand):
        return loss_of

    def pictures(part: int) -> list[int]:
        """part: counted from the start of training, over all steps."""
        places = batch.share(part)
        return [split.train_rows[place] for place in split.order.places(places.start, places.stop)]

    def loss(step: int, part: int) -> Terms:
        at = step * batch.grad_accum + part
        if isinstance(pixels, StreamedPictures) and isinstance(split.order, BlockOrder):
            pixels.get_ahead(split.order.shards_after(step * batch.per_step))
        pixels.prefetch([*pictures(at), *pictures(at + 1)])
        return loss_of(step, part)

    return loss


def run_loop(
    state: TrainState,
    loss_of: Loss,
    hooks: Hooks,
    config: TrainConfig,
    settings: dict[str, Any],
    split: DataSplit,
    context: RunContext,
) -> Iterator[Event]:
    """Train to the end, or to a signal or the time limit, saving and sampling on the way. Raises Stopped after a signal.

    What a signal, a clock or a failed save means for one process, it means for all: they agree after every step.
    """
    processes, device = context.processes, context.device
    loop = loop_config(config, len(split.train_rows), context.accelerator.num_processes)
    with tracking(config.tracker if processes.main else None, config.output, state.step) as tracker:
        checkpointer = Checkpointer(state, config, settings, hooks, tracker, processes)
        left = checkpointer.left()
        if any(processes.gather(left is not None)) or state.step >= loop.max_steps:
            checkpointer.gather()
        if left:
            yield from checkpointer.report(replace(left, total=loop.max_steps), *_looking(config, left.step, loop), device)
        processes.gather(None)
        if state.step >= loop.max_steps:  # finished, and perhaps killed before the model was written
            yield from checkpointer.model()
        context.requests.preparing = False
        try:
            with processes.needed():
                for record in train(state, loss_of, loop, context.accelerator, split.ids(loop.pictures_per_step)):
                    if (yield from _after_step(record, checkpointer, config, loop, context)):
                        return
        except PeerLost:
            if not state.shared_out:  # else a part of them is lost
                yield from checkpointer.save()  # the loss never came, so the weights are those of the last full step
            raise


def _after_step(
    record: TrainStep, checkpointer: Checkpointer, config: TrainConfig, loop: LoopConfig, context: RunContext
) -> Generator[Event, None, bool]:
    """What is due after a step, on all processes. Returns whether the run's time is up. Raises Stopped after a signal."""
    processes, requests = context.processes, context.requests
    last = record.step == loop.max_steps
    validating, sampling = _looking(config, record.step, loop)
    saving = last or record.step % config.save_every == 0
    if saving or validating or sampling:
        checkpointer.gather()
    if saving and (validating or sampling):
        yield from checkpointer.save(owed=record)
    yield from checkpointer.report(record, validating, sampling, context.device)
    if validating or sampling:
        processes.gather(None)
    passed = config.max_hours is not None and not last and time.monotonic() > requests.started + config.max_hours * 3600
    stop, save_requested, late = processes.most([requests.stop or 0, requests.take_save(), passed])
    if saving or stop or save_requested or late:
        checkpointer.gather()
        yield from checkpointer.save()
        processes.gather(None)
    if not (last or late):
        checkpointer.state.release()
    if stop:
        raise Stopped(
            f"stopped by {signal.Signals(stop).name} after step {record.step}; everything is saved in {config.output}.",
            exit_code=signals.EXIT_CODES[signal.Signals(stop)],
            hint="Go on with --resume auto.",
        )
    if late:
        yield Note(f"--max-hours reached after step {record.step}; go on with --resume auto")
    return bool(late)


def _looking(config: TrainConfig, step: int, loop: LoopConfig) -> tuple[bool, bool]:
    """Whether validation and samples are due after a step."""
    return step == loop.max_steps or step % config.val_every == 0, step == loop.max_steps or step % config.sample_every == 0
