"""What train-vae and train-unet share: the run folder, resuming, the rhythm of saving and sampling, stopping."""

import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ldmcli.config.training import TrainConfig
from ldmcli.data.row_sources import DecodedOnDemand, RowSource, StreamedPictures
from ldmcli.engine.train.checkpointing import Checkpointer, Hooks
from ldmcli.engine.train.context import DataSplit, GlobalBatch, RunContext
from ldmcli.engine.train.optimizers import make_optimizer
from ldmcli.engine.train.picture_counts import check_enough
from ldmcli.engine.train.sharding import sharding_of
from ldmcli.engine.train.tracker import tracking
from ldmcli.errors import LdmError, PeerLost, Stopped, Unheard
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.records.training import TrainStep
from ldmcli.training import signals
from ldmcli.training.block_order import BlockOrder
from ldmcli.training.ema import EMA
from ldmcli.training.loop import LoopConfig, Terms, train
from ldmcli.training.shards import share_out
from ldmcli.training.state import TrainState

Loss = Callable[[int, int], Terms]
"""(step, accumulation part) to the terms of its loss."""


def make_state(
    network: nn.Module,
    config: TrainConfig,
    accelerator: Any,
    groups: Callable[[], list[dict[str, Any]]] | None = None,
    blocks: tuple[type[nn.Module], ...] = (),
    in_half: tuple[type[nn.Module], ...] = (),
) -> tuple[TrainState, nn.Module]:
    """The state of a new run, and the network as it should be called in the loss (wrapped for precision and processes).

    groups: of the optimizer, where they are not one; their `lr_factor` multiplies the learning rate. blocks: the kinds of modules by which
    the network is shared out where accelerate's configuration asks for that; without any it stays whole. in_half: what of it travels in
    bf16 where it computes so.
    """
    sharding = sharding_of(config) if blocks else None
    if sharding is None:
        network.to(accelerator.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    else:  # by pieces, which can only lie in plain order
        half = in_half if accelerator.mixed_precision == "bf16" else ()
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
        else:
            state.release()
        context.requests.preparing = False
        try:
            with processes.needed():
                loss_of = processes.in_step()(loss_of)
                for record in train(state, loss_of, loop, context.accelerator, split.ids(loop.pictures_per_step)):
                    if (yield from _after_step(record, checkpointer, config, loop, context)):
                        return
        except (PeerLost, Unheard):
            if not state.shared_out:  # else a part of them is lost
                with suppress(LdmError):  # what failed first is what is told
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
