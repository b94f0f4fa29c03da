"""What a training run writes on the way, and in which order, so that whatever kills it finds nothing that cannot be gone on with."""

import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w
import torch

from ldmcli.config.training import TrainConfig
from ldmcli.engine.run_log import RunLog, disk_errors, write_whole
from ldmcli.engine.tracker import Tracker
from ldmcli.errors import LdmError
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Saved
from ldmcli.records.training import TrainStep
from ldmcli.runtime.memory import memory
from ldmcli.runtime.processes import Processes
from ldmcli.training import checkpoints
from ldmcli.training.state import TrainState


@dataclass(frozen=True)
class Hooks:
    """What the two trainers do in their own way. Each may yield records."""

    save_model: Callable[[TrainState], Iterator[Event]]
    sample: Callable[[TrainState], Generator[Event, None, dict[str, float]]]
    """Returns figures of the samples, for the log."""
    validate: Callable[[TrainState], dict[str, float]]


class RunKeeper:
    """Keeps a run's folder. Of several processes only the main one writes.

    What is due at a step is done in this order: validation, samples, the line of the log, the checkpoint, RUN/model. So a checkpoint
    that is complete vouches for everything before it, and a run that goes on from it does the rest again.
    """

    def __init__(
        self, state: TrainState, config: TrainConfig, settings: dict[str, Any], hooks: Hooks, tracker: Tracker, processes: Processes
    ) -> None:
        self.state, self.config, self.hooks, self.tracker = state, config, hooks, tracker
        self.main, self.facts = processes.main, {"settings": settings, "processes": processes.count}
        self.run = config.output
        self.saved = state.step
        if self.main:
            write_whole(self.run / "config.toml", tomli_w.dumps(settings))
            self.log = RunLog(self.run / "log.jsonl", state.step)

    def report(self, record: TrainStep, validating: bool, sampling: bool, device: torch.device) -> Iterator[Event]:
        """Validate and sample if they are due after a step, and log it. The step's own record, completed, comes last."""
        if not self.main:
            return
        figures = self.hooks.validate(self.state) if validating else {}
        if sampling:
            figures |= yield from self._sample(record.step)
        if figures or record.step == record.total or record.step % self.config.log_every == 0:
            self.tracker.scalars(self.log.write(record, figures))
        yield replace(record, terms={**record.terms, **figures}, memory=memory(device))

    def save(self) -> Iterator[Event]:
        """A checkpoint of this very step, if there is none yet, and RUN/model."""
        if not self.main or self.saved == self.state.step:
            return
        self.log.flush()
        self.tracker.flush()
        yield Saved("checkpoint", self._checkpoint())
        self.saved = self.state.step
        pruned = checkpoints.prune(self.run / "checkpoints", self.config.keep, self.state.step)
        yield from (Note(text, warning=True) for text in pruned)
        yield from self.model()

    def model(self) -> Iterator[Event]:
        """RUN/model of this step."""
        if self.main:
            yield from self.hooks.save_model(self.state)

    def _sample(self, step: int) -> Generator[Event, None, dict[str, float]]:
        events = self.hooks.sample(self.state)
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return end.value
            if isinstance(event, Saved):
                self.tracker.sheet(event.path, step)
            yield event

    def _checkpoint(self) -> Path:
        """Raises LdmError that says how much room it needs where the disk refuses it."""
        room = f"{self.state.nbytes() / 1e6:,.1f} MB are needed and {shutil.disk_usage(self.run).free / 1e6:,.1f} MB free. "
        before = f"The checkpoint of step {self.saved} is whole. " if self.saved else ""
        what = f"the checkpoint of step {self.state.step}"
        try:
            with disk_errors(what, f"{room}{before}Make room, then go on with --resume auto."):
                return self.state.save(self.run / "checkpoints", self.facts)
        except OSError as error:  # a file where a folder should be, no permission
            raise LdmError(f"{what} could not be written: {error}.", hint=f"{before}Mend that, then go on with --resume auto.") from error
