"""What travels together through a training run: where it computes, which pictures it has, and how a step's batch is shared out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ldmcli.config.training import TrainConfig
from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.decoders import Decoders
from ldmcli.runtime.processes import Processes
from ldmcli.training.block_order import BlockOrder
from ldmcli.training.order import SampleOrder
from ldmcli.training.signals import Requests


@dataclass(frozen=True)
class RunContext:
    """Where a run computes. accelerator: accelerate's; requests: what signals ask for; decoders: who reads pictures."""

    accelerator: Any
    processes: Processes
    requests: Requests
    decoders: Decoders

    @property
    def device(self) -> torch.device:
        """Of this process."""
        device: torch.device = self.accelerator.device
        return device


@dataclass(frozen=True)
class DataSplit:
    """Which pictures of `data` train and which are held out, by their numbers, and the order in which the first are drawn."""

    data: CaptionedImages
    train_rows: Sequence[int]
    val_rows: list[int]
    order: SampleOrder | BlockOrder

    def ids(self, per_step: int) -> Callable[[int], str]:
        """A function from a step to the ids of its pictures, for messages."""

        def of_step(step: int) -> str:
            return ", ".join(self.data.images[self.train_rows[place]].id for place in self.order.batch(step, per_step).tolist())

        return of_step


@dataclass(frozen=True)
class GlobalBatch:
    """A step's pictures over all accumulation parts and processes, and this process's share of them."""

    batch_size: int
    """Pictures per process and part."""
    grad_accum: int
    processes: int
    index: int
    """Of this process."""

    @classmethod
    def of(cls, config: TrainConfig, accelerator: Any) -> "GlobalBatch":
        """As the options and the launcher say."""
        return cls(config.batch_size, config.grad_accum, accelerator.num_processes, accelerator.process_index)

    @property
    def per_step(self) -> int:
        """Pictures of an optimizer step, over all processes."""
        return self.batch_size * self.grad_accum * self.processes

    def share(self, part: int) -> slice:
        """This process's places in a step's batch; part: of the accumulation, counted on over steps it gives places of all training."""
        first = (part * self.processes + self.index) * self.batch_size
        return slice(first, first + self.batch_size)
