"""What a training run writes on the way, and in which order, so that whatever kills it finds nothing that cannot be gone on with."""

import json
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w
import torch

from ldmcli.config.training import TrainConfig
from ldmcli.engine.train.run_log import RunLog, disk_errors
from ldmcli.engine.train.tracker import Tracker
from ldmcli.errors import LdmError, NonFinite
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Saved
from ldmcli.records.training import TrainStep
from ldmcli.runtime.files import replace_file
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


class Checkpointer:
    """Keeps a run's folder. Of several processes only the main one writes.

    What is due at a step is done in this order: the line of the log, the checkpoint, RUN/model. So a checkpoint that is complete vouches
    for everything before it, and a run that goes on from it does the rest again. Validation and samples, whose figures are in that line,
    come last, so that what they take cannot cost the steps: until they are done, RUN/.owed.json has the step, for a run that goes on.
    """

    def __init__(
        self, state: TrainState, config: TrainConfig, settings: dict[str, Any], hooks: Hooks, tracker: Tracker, processes: Processes
    ) -> None:
        self.state, self.config, self.hooks, self.tracker, self.processes = state, config, hooks, tracker, processes
        self.main, self.facts = processes.main, {"settings": settings, "processes": processes.count}
        self.run, self.owed = config.output, config.output / ".owed.json"
        self.saved = state.step
        if self.main:
            replace_file(self.run / "config.toml", tomli_w.dumps(settings))
            self.log = RunLog(self.run / "log.jsonl", state.step)

    def gather(self) -> None:
        """Before what is due at a step: where the network is shared out, process 0 is given all of it. All processes must call it.

        What comes after needs no other process, so that it may fail, or take long, in process 0 alone.
        """
        with self.processes.needed():
            self.state.gather()

    def report(self, record: TrainStep, validating: bool, sampling: bool, device: torch.device) -> Iterator[Event]:
        """Validate and sample if they are due after a step, and log it. The step's own record, completed, comes last.

        Where one of the two fails, the step is saved all the same.
        """
        if not self.main:
            return
        try:
            figures = self.hooks.validate(self.state) if validating else {}
            if sampling:
                figures |= yield from self._sample(record.step)
        except NonFinite:
            raise  # of weights that are not worth keeping
        except Exception:
            with suppress(LdmError):  # what failed first is what is told
                yield from self.save(owed=record)
            raise
        if figures or record.step == record.total or record.step % self.config.log_every == 0:
            self.tracker.scalars(self.log.write(record, figures))
        self.owed.unlink(missing_ok=True)
        yield replace(record, terms={**record.terms, **figures}, memory=memory(device))

    def left(self) -> TrainStep | None:
        """The step that was saved and not reported any more, where the run was ended between the two."""
        if not (self.main and self.owed.is_file()):
            return None
        with suppress(ValueError, TypeError, RecursionError):
            record = TrainStep(**json.loads(self.owed.read_text(encoding="utf-8")))
            if self.log.last < record.step == self.state.step:
                return record
        self.owed.unlink()
        return None

    def save(self, *, owed: TrainStep | None = None) -> Iterator[Event]:
        """A checkpoint of this very step, if there is none yet, and RUN/model. owed: the step, if it is still to be reported."""
        if not self.main or self.saved == self.state.step:
            return
        if owed is not None:
            replace_file(self.owed, json.dumps(asdict(owed)))
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
