"""The training loop. Knows no diffusion and no screen: it is handed a function that returns the loss of a step."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ldmcli.errors import NonFinite
from ldmcli.records.training import TrainStep
from ldmcli.training.shards import is_shared_out, norm_of_all, own
from ldmcli.training.state import Learner, TrainState

Terms = dict[str, Tensor]
"""Named scalars; "loss" is what the network minimises, the opponent's name what the opponent does, in steps that have it."""


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
    while state.step < config.max_steps:
        started = time.perf_counter()
        lr = lr_at(config, state.step)
        for group in [group for learner in state.learners for group in learner.optimizer.param_groups]:
            group["lr"] = lr * group.get("lr_factor", 1.0)
        numbers = _backward(state, loss_of, config.grad_accum, accelerator)
        active = [learner for learner in state.learners if learner.name in numbers]
        norms = {learner.name: _clip(learner, state.scaler, config.max_grad_norm) for learner in active}
        for name, norm in norms.items():  # of all, before the first steps
            if not math.isfinite(numbers[name]) or (state.scaler is None and not math.isfinite(norm)):  # a scaler backs off by itself
                raise NonFinite(
                    f"step {state.step + 1}: {name} {numbers[name]}, gradient norm {norm}; samples {describe(state.step)}.",
                    hint="The weights were not touched. Try a lower --lr, --max-grad-norm 1 or --mixed-precision no.",
                )
        _step(active, state.scaler)
        if state.ema and math.isfinite(norms["loss"]):
            state.ema.update(state.network)
        state.step += 1
        seconds = time.perf_counter() - started
        yield TrainStep(
            step=state.step,
            total=config.max_steps,
            terms={**numbers, **{_norm_name(name): norm for name, norm in norms.items()}},
            lr=lr,
            images_per_s=config.pictures_per_step / seconds,
            seconds=seconds,
        )


def _backward(state: TrainState, loss_of: Callable[[int, int], Terms], parts: int, accelerator: Any) -> dict[str, float]:
    """Gradients of the mean over the parts, for every learner that has a term in this step. Returns the terms, means over all processes."""
    sums: Terms = {}
    for part in range(parts):
        with ExitStack() as quiet:
            if part < parts - 1:  # gradients travel once a step, unless their parts are all that a process keeps
                for learner in state.learners:
                    quiet.enter_context(accelerator.no_sync(learner.called))
            terms = loss_of(state.step, part)
            for learner in state.learners:
                if learner.name in terms:
                    accelerator.backward(terms[learner.name] / parts)
        for name, value in terms.items():
            sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value.detach() / parts
    means = accelerator.reduce(torch.stack([*sums.values()]), reduction="mean")
    return dict(zip(sums, means.tolist(), strict=True))


@torch.no_grad()
def _clip(learner: Learner, scaler: Any, max_norm: float) -> float:
    """Clip the learner's gradients (0: leave them); short ones are left alone, not multiplied by 1. Returns their norm before."""
    if scaler is not None:
        scaler.unscale_(learner.optimizer)
    gradients = [own(p.grad) for p in learner.network.parameters() if p.grad is not None]
    total = torch.nn.utils.get_total_norm(gradients)
    if is_shared_out(learner.network):
        total = norm_of_all(total)
    norm = total.item()
    if max_norm and not norm <= max_norm:  # NaN too
        torch._foreach_mul_(gradients, (max_norm / (total + 1e-6)).clamp(max=1))  # as torch's clip_grads_with_norm_
    return norm


def _step(learners: list[Learner], scaler: Any) -> None:
    """Move the weights of all, and forget the gradients. A scaler leaves out a learner whose gradients overflowed."""
    for learner in learners:
        if scaler is None:
            learner.optimizer.step()
        else:
            scaler.step(learner.optimizer)
        learner.optimizer.zero_grad(set_to_none=True)
    if scaler is not None:
        scaler.update()


def _norm_name(learner: str) -> str:
    return "grad_norm" if learner == "loss" else f"{learner}_grad_norm"
