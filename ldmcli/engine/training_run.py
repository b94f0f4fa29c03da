"""What train-vae and train-unet share: the run folder, resuming, the rhythm of saving and sampling, stopping."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors import SafetensorError
from torch import nn

from ldmcli.config.training import TrainConfig
from ldmcli.data.captioned import CaptionedImages
from ldmcli.errors import LdmError, PeerLost, Stopped, UsageError
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Saved
from ldmcli.records.training import TrainStep
from ldmcli.runtime.device import select_device
from ldmcli.runtime.memory import memory
from ldmcli.runtime.processes import Processes
from ldmcli.training import checkpoints, signals
from ldmcli.training.adamw import AdamW
from ldmcli.training.ema import EMA
from ldmcli.training.loop import LoopConfig, Terms, train
from ldmcli.training.order import SampleOrder
from ldmcli.training.state import TrainState


@dataclass(frozen=True)
class Hooks:
    """What the two trainers do in their own way. Each may yield records."""

    save_model: Callable[[TrainState], Iterator[Event]]
    sample: Callable[[TrainState], Iterator[Event]]
    validate: Callable[[TrainState], dict[str, float]]


def make_accelerator(config: TrainConfig) -> tuple[Any, Note]:
    """accelerate's Accelerator for the device and precision, and why these."""
    from accelerate import Accelerator

    device, reason = select_device(config.device)
    precision = config.mixed_precision
    if precision == "auto":
        on_gpu = device.type == "cuda"
        precision = ("bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16") if on_gpu else "no"
    if precision == "fp16" and device.type == "cpu":  # accelerate would go on in fp32 without a word
        raise UsageError("--mixed-precision fp16 needs a GPU.", hint="On a CPU use --mixed-precision no or bf16.")
    slow = "; half precision is emulated on most CPUs, and slow there" if precision == "bf16" and device.type == "cpu" else ""
    accelerator = Accelerator(mixed_precision=precision, cpu=device.type == "cpu")
    several = f"; {accelerator.num_processes} processes, --batch-size is of each" if accelerator.num_processes > 1 else ""
    return accelerator, Note(f"training on {accelerator.device} ({reason}), mixed precision: {precision}{slow}{several}")


def make_state(
    network: nn.Module, config: TrainConfig, accelerator: Any, groups: list[dict[str, Any]] | None = None
) -> tuple[TrainState, nn.Module]:
    """The state of a new run, and the network as it should be called in the loss (wrapped for precision and processes).

    groups: of the optimizer, where they are not one; their `lr_factor` multiplies the learning rate.
    """
    network.to(accelerator.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = adamw(groups or network.parameters(), config, accelerator, betas=(0.9, 0.99))
    prepared = accelerator.prepare_model(network)
    state = TrainState(network, optimizer, EMA(network, config.ema) if config.ema else None, scaler=accelerator.scaler, prepared=prepared)
    return state, prepared


def adamw(parameters: Any, config: TrainConfig, accelerator: Any, *, betas: tuple[float, float]) -> AdamW:
    """The optimizer of parameters, or groups of them, that are on their device already; fused where torch has that."""
    fused = accelerator.device.type in ("cpu", "cuda")
    return AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay, betas=betas, fused=fused)


def loop_config(config: TrainConfig, pictures: int, processes: int) -> LoopConfig:
    """Turn epochs into steps. Raises UsageError when there are fewer pictures than one batch holds."""
    per_step = config.batch_size * config.grad_accum * processes
    if pictures < per_step:
        raise UsageError(f"{pictures} pictures do not fill one batch of {per_step}.", hint="Use a smaller --batch-size or more data.")
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


def sample_ids(data: CaptionedImages, rows: list[int], order: SampleOrder, per_step: int) -> Callable[[int], str]:
    """A function from a step to the ids of its pictures, for messages."""
    return lambda step: ", ".join(data.images[rows[place]].id for place in order.batch(step, per_step).tolist())


def run_loop(
    state: TrainState,
    loss_of: Callable[[int, int], Terms],
    loop: LoopConfig,
    config: TrainConfig,
    settings: dict[str, Any],
    accelerator: Any,
    hooks: Hooks,
    describe: Callable[[int], str],
    processes: Processes,
) -> Iterator[Event]:
    """Train to the end, or to a signal or the time limit, saving and sampling on the way. Raises Stopped after a signal.

    What a signal, a clock or a failed save means for one process, it means for all: they agree after every step.
    """
    run, main = config.output, processes.main
    if main:
        (run / "config.toml").write_text(tomli_w.dumps(settings))
        _trim_log(run / "log.jsonl", state.step)
    deadline = time.monotonic() + config.max_hours * 3600 if config.max_hours else None
    saved = -1

    def save() -> Iterator[Event]:
        nonlocal saved
        if saved != state.step:
            saved = state.step
            try:
                path = state.save(run / "checkpoints", {"settings": settings, "processes": processes.count})
            except (OSError, SafetensorError) as error:  # a full disk, most of the time
                raise LdmError(
                    f"the checkpoint of step {state.step} could not be written: {error}.",
                    hint="The checkpoints before it are whole. Make room, then go on with --resume auto.",
                ) from error
            yield Saved("checkpoint", path)
            yield from (Note(text, warning=True) for text in checkpoints.prune(run / "checkpoints", config.keep))
            yield from hooks.save_model(state)

    def report(record: TrainStep, validating: bool, sampling: bool) -> Iterator[Event]:
        figures = hooks.validate(state) if validating else {}
        if record.step % config.log_every == 0 or figures or record.step == loop.max_steps:
            _log(run / "log.jsonl", record, figures)
        yield TrainStep(**{**_fields(record), "terms": {**record.terms, **figures}, "memory": memory(accelerator.device)})
        if sampling:
            yield from hooks.sample(state)

    with signals.listening() as requests:
        try:
            with processes.needed():
                for record in train(state, loss_of, loop, accelerator, describe):
                    last = record.step == loop.max_steps
                    validating, sampling = (last or record.step % every == 0 for every in (config.val_every, config.sample_every))
                    if main:
                        yield from report(record, validating, sampling)
                    if validating or sampling:
                        processes.gather(None)
                    passed = deadline is not None and time.monotonic() > deadline and not last
                    stop, wanted, late = processes.most([requests.stop or 0, requests.take_save(), passed])
                    if record.step % config.save_every == 0 or last or stop or wanted or late:
                        if main:
                            yield from save()
                        processes.gather(None)
                    if stop:
                        raise Stopped(
                            f"stopped by {signal.Signals(stop).name} after step {state.step}; everything is saved in {run}.",
                            exit_code=signals.EXIT_CODES[signal.Signals(stop)],
                            hint="Go on with --resume auto.",
                        )
                    if late:
                        yield Note(f"--max-hours reached after step {state.step}; go on with --resume auto")
                        return
        except PeerLost:
            if main:
                yield from save()  # the loss never came, so the weights are those of the last full step
            raise


def _fields(record: TrainStep) -> dict[str, Any]:
    return {name: getattr(record, name) for name in ("step", "total", "terms", "lr", "images_per_s", "seconds")}


def _log(path: Path, record: TrainStep, figures: dict[str, float]) -> None:
    body = {"step": record.step, **record.terms, **figures, "lr": record.lr, "images_per_s": record.images_per_s, "seconds": record.seconds}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(body) + "\n")


def _trim_log(path: Path, step: int) -> None:
    """Drop lines of steps that a resumed run will do again, and a line that a kill cut short."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError):
            continue
    path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
