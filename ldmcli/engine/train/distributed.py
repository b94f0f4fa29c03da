"""A training command as any number of processes run it at once."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from ldmcli.config.training import TrainConfig
from ldmcli.config.training_groups import AUTO
from ldmcli.data.captioned import CaptionedImages
from ldmcli.engine.train.listing import captioned
from ldmcli.engine.train.sharding import sharding_of
from ldmcli.errors import UsageError
from ldmcli.records.events import Event
from ldmcli.runtime.device import select_device
from ldmcli.runtime.processes import Processes, join_processes
from ldmcli.training import signals
from ldmcli.training.signals import Requests

C = TypeVar("C", bound=TrainConfig, contravariant=True)


class Training(Protocol[C]):
    """What `run_on_all_processes` makes. data: what the config names, where it was looked at already."""

    def __call__(self, config: C, data: CaptionedImages | None = None) -> Iterator[Event]: ...


def run_on_all_processes(train: Callable[[C, CaptionedImages, Processes, Requests], Iterator[Event]]) -> Training[C]:
    """`train` as a function of its config and its data: the processes that a launcher started find each other, the first one speaks for
    all, and what ends one of them ends all. Signals are heard from the start."""

    @functools.wraps(train)
    def run(config: C, data: CaptionedImages | None = None) -> Iterator[Event]:
        sharding_of(config)
        device, _ = select_device(config.device)
        with signals.listen_for_signals(preparing=True) as requests, join_processes(device) as processes, processes.fail_together():
            if config.dry_run and processes.count > 1:
                raise UsageError("--dry-run measures one process.", hint="Start it without the launcher.")
            if processes.restarted and any(processes.gather(_own_checkpoints(config))):
                config = replace(config, resume=AUTO)
            for event in train(config, captioned(config) if data is None else data, processes, requests):
                if processes.main:
                    yield event
            processes.gather(None)  # the others stay until the first has written everything

    return run


def _own_checkpoints(config: TrainConfig) -> bool:
    """Whether a run that torchrun starts anew goes on from its newest checkpoint: unless --resume names one in its own folder, where later
    ones may be those of an earlier start, or one elsewhere and there is none of its own yet."""
    if config.resume in (None, AUTO):
        return True
    run = config.output.resolve()
    return run not in Path(config.resume).resolve().parents and any((run / "checkpoints").glob("step-*"))
