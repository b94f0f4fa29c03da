"""The training loop. Knows no diffusion and no screen: it is handed a function that returns the loss of a step."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ldmcli.errors import NonFinite
from ldmcli.records import TrainStep
from ldmcli.training.state import TrainState

Terms = dict[str, Tensor]
"""Named scalars; "loss" is what is minimised."""


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How to walk. Lengths are optimizer steps."""

    max_steps: int
    lr: float
    lr_schedule: str
    warmup: int
    max_grad_norm: float
    grad_accum: int
    pictures_per_step: int
    """Size of the global batch, over all processes and accumulation steps."""


def lr_at(config: LoopConfig, step: int) -> float:
    """Learning rate of a step (from 0): linear warm-up, then constant, linear or cosine decay to 0 at max_steps."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    done = (step - config.warmup) / max(config.max_steps - config.warmup, 1)
    factor = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * min(done, 1)))}[config.lr_schedule]
    return config.lr * factor


def train(
    state: TrainState,
    loss_of: Callable[[int, int], Terms],
    config: LoopConfig,
    accelerator: Any,
    describe: Callable[[int], str],
) -> Iterator[TrainStep]:
    """Yield a record after every optimizer step, until config.max_steps.

    loss_of(step, part): the terms of accumulation part `part` of a step; their mean over the parts is minimised.
    describe(step): the sample ids of a step, for the message. Raises NonFinite before a bad step touches the weights.
    """
    parameters = [p for p in state.network.parameters() if p.requires_grad]
    while state.step < config.max_steps:
        started = time.perf_counter()
        lr = lr_at(config, state.step)
        for group in state.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_factor", 1.0)
        sums: dict[str, Tensor] = {}
        for part in range(config.grad_accum):
            last = part == config.grad_accum - 1
            with nullcontext() if last else accelerator.no_sync(state.called):  # gradients travel once a step
                terms = loss_of(state.step, part)
                accelerator.backward(terms["loss"] / config.grad_accum)
            for name, value in terms.items():
                sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value.detach() / config.grad_accum
        means = accelerator.reduce(torch.stack([*sums.values()]), reduction="mean")
        numbers = dict(zip(sums, means.tolist(), strict=True))
        if state.scaler is not None:
            state.scaler.unscale_(state.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(parameters, config.max_grad_norm or math.inf).item()
        skipped = state.scaler is not None and math.isfinite(numbers["loss"]) and not math.isfinite(norm)  # the scaler backs off by itself
        if not skipped and not (math.isfinite(numbers["loss"]) and math.isfinite(norm)):
            raise NonFinite(
                f"step {state.step + 1}: loss {numbers['loss']}, gradient norm {norm}; samples {describe(state.step)}.",
                hint="The weights were not touched. Try a lower --lr, --max-grad-norm 1 or --mixed-precision no.",
            )
        if state.scaler is not None:
            state.scaler.step(state.optimizer)
            state.scaler.update()
        else:
            state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        if state.ema and not skipped:
            state.ema.update(state.network)
        state.step += 1
        seconds = time.perf_counter() - started
        yield TrainStep(
            step=state.step,
            total=config.max_steps,
            terms={**numbers, "grad_norm": norm},
            lr=lr,
            images_per_s=config.pictures_per_step / seconds,
            seconds=seconds,
        )
