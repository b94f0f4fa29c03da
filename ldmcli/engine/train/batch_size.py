"""--batch-size auto: the largest power of two that fits, by trying real steps on a GPU and by counting bytes elsewhere."""

import copy
import gc
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ldmcli.config.training import TrainConfig
from ldmcli.engine.train.earlier_run import find_checkpoint
from ldmcli.engine.train.optimizers import make_optimizer
from ldmcli.errors import OutOfMemory
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.runtime.live_bytes import peak_bytes
from ldmcli.runtime.memory import total_bytes
from ldmcli.runtime.processes import Processes
from ldmcli.training.loop import Terms
from ldmcli.training.state import Learner

C = TypeVar("C", bound=TrainConfig)


@dataclass(frozen=True)
class Trial:
    """The loss of a step and accumulation part, as `train` takes it, what learns beside the network from the same steps, and what is done
    between steps without learning: a batch of the validation, a batch of samples."""

    loss: Callable[[int, int], Terms]
    opponent: Learner | None = None
    looks: Sequence[Callable[[], object]] = ()


MakeTrial = Callable[[C, Any], Trial]
"""config, network -> the trial at config.batch_size, in its dearest steps. It must not ask other processes, which may try other sizes."""

MOST_ON_CPU, MOST_ON_GPU = 256, 1024
SHARE = 0.5
"""Of the machine's memory that a run may be estimated to take: a fixed share of all of it, so that what else runs decides nothing."""
COPIES = 5
"""Of weights that train: they themselves, gradients, two moments of AdamW, average (also where there is none)."""
LOOKED_AT = 2, 4
"""Batch sizes at which what is done without learning is measured: guidance makes two rows of one picture."""
BACKWARD = 2
"""Bytes per byte that autograd keeps for the backward pass: that, and the gradients and buffers that come and go beside it."""


def fit_batch_size(
    config: C, pictures: int, network: nn.Module, accelerator: Any, processes: Processes, make_trial: MakeTrial[C]
) -> Generator[Event, None, C]:
    """The config with a number for a batch size. pictures: to train on; one step never takes more.

    A run that is resumed keeps its number. Several processes take the smallest of theirs. Raises OutOfMemory when one picture is too many.
    """
    if not config.auto_batch:
        return config
    found = find_checkpoint(config)[0] if processes.main else None
    kept = processes.gather((int(found.facts["settings"]["batch_size"]), f"as in {found.path.name}") if found else None)[0]
    if kept is not None:
        size, why = kept
    else:
        on_gpu = accelerator.device.type == "cuda"
        network.to(accelerator.device)
        limit = min(pictures // (config.grad_accum * processes.count), MOST_ON_GPU if on_gpu else MOST_ON_CPU)
        sizes = [2**power for power in reversed(range(max(limit, 1).bit_length()))]
        pick = fit_by_trying if on_gpu else fit_by_counting
        with torch.random.fork_rng(devices=[]):  # what comes after is drawn as with a number for a batch size
            mine = pick(config, sizes, network, accelerator, make_trial)
        size, why = min(processes.gather(mine))
    yield Note(f"batch size {size}: {why}")
    return replace(config, batch_size=size, auto_batch=False)


def fit_by_trying(config: C, sizes: list[int], network: nn.Module, accelerator: Any, make_trial: MakeTrial[C]) -> tuple[int, str]:
    """The first of the falling sizes at which a copy of the network takes two real steps and is looked at without running out of memory."""
    from accelerate.utils import find_executable_batch_size

    left = iter(sizes[1:])

    def steps(batch_size: int) -> int:
        copied = copy.deepcopy(network)
        trial = make_trial(_of(config, batch_size), copied)
        learner = Learner("loss", copied, make_optimizer(copied, copied.parameters(), config, accelerator), copied)
        learners = [learner, trial.opponent] if trial.opponent else [learner]
        for _ in range(2):  # the second has the optimizers' moments beside it
            with accelerator.autocast():
                terms = trial.loss(0, 0)
            for learner in learners:
                terms[learner.name].backward()
            for learner in learners:
                learner.optimizer.step()
                learner.optimizer.zero_grad(set_to_none=True)
        for look in trial.looks:  # beside the moments
            look()
        return batch_size

    try:
        size = find_executable_batch_size(steps, starting_batch_size=sizes[0], reduce_batch_size_fn=lambda: next(left, 0))()
    except RuntimeError as error:
        if "No executable batch size" not in str(error):
            raise
        raise OutOfMemory(
            "not even one picture a step fits.", hint="Try --gradient-checkpointing, a smaller --size or --channels."
        ) from error
    gc.collect()
    if accelerator.device.type == "cuda":
        torch.cuda.empty_cache()
    return size, "the largest power of two that two real steps had memory for" if size < sizes[0] else _limit(size)


def fit_by_counting(config: C, sizes: list[int], network: nn.Module, accelerator: Any, make_trial: MakeTrial[C]) -> tuple[int, str]:
    """The first of the falling sizes whose bytes stay within SHARE of the machine's memory, shared by the processes on it.

    Bytes: COPIES of the weights that train, the frozen ones once, and what comes and goes, of steps or of looking at what they have made,
    whichever is more. Steps: for each picture BACKWARD times what autograd keeps for the backward pass of one more.
    """
    trials = [make_trial(_of(config, size), network) for size in (1, 2)]
    learning = [network, *([trials[0].opponent.network] if trials[0].opponent else [])]
    kept = [_kept_bytes(trial.loss, network) for trial in trials]
    fixed = sum((COPIES if p.requires_grad else 1) * p.numel() * p.element_size() for part in learning for p in part.parameters())
    each = BACKWARD * (kept[1] - kept[0])
    looked = [[peak_bytes(look) for look in make_trial(_of(config, size), network).looks] for size in LOOKED_AT]
    looks = [_line(*LOOKED_AT, *peaks) for peaks in zip(*looked, strict=True)]
    room = SHARE * total_bytes() / int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    size = next((size for size in sizes if fixed + max([size * each, *(look(size) for look in looks)]) <= room), 1)
    if size == sizes[0]:
        return size, _limit(size)
    return size, f"{each / 2**20:,.1f} MiB a picture, and half of this machine's memory is {room / 2**30:,.1f} GiB"


def _of(config: C, size: int) -> C:
    return replace(config, batch_size=size, auto_batch=False, compile=False)


def _line(one: int, other: int, bytes_of_one: int, bytes_of_other: int) -> Callable[[int], float]:
    """Through two points; what is drawn two at a time and so takes the same for both is flat below them."""
    slope = (bytes_of_other - bytes_of_one) / (other - one)
    return lambda size: bytes_of_one + max(size - one, 0) * slope


def _limit(size: int) -> str:
    return "the most that auto takes" if size in (MOST_ON_CPU, MOST_ON_GPU) else "the largest power of two within the data"


def _kept_bytes(loss_of: Callable[[int, int], Terms], network: nn.Module) -> int:
    """What autograd keeps between the forward and the backward pass, without the weights."""
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        terms = loss_of(0, 0)
    del terms  # until here, so that no place in memory is counted for two tensors
    return sum(size for place, size in kept.items() if place not in weights)
