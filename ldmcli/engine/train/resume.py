"""Going on from a checkpoint: restoring it, and what is told of it."""

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

from ldmcli.config.training import TrainConfig
from ldmcli.engine.train.earlier_run import GLOBAL_BATCH, changed_settings, check_facts, find_checkpoint, settings_then, unfit
from ldmcli.engine.train.run_settings import differences, told_of_copies
from ldmcli.engine.train.training_loop import loop_config
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.runtime.processes import Processes
from ldmcli.training import checkpoints
from ldmcli.training.checkpoints import Checkpoint
from ldmcli.training.loop import lr_at
from ldmcli.training.state import TrainState


def resume(state: TrainState, config: TrainConfig, settings: dict[str, Any], processes: Processes, pictures: int) -> Iterator[Event]:
    """Restore the checkpoint that config.resume asks for, if there is one, and say so. pictures: those trained on."""
    if config.resume is None:
        return
    now = {**settings, "processes": processes.count}
    found = yield from _checkpoint(state, config, now, processes)
    if found is None:
        return
    before = settings_then(found, config)
    yield from told_of_copies(before, now)
    if (changed := changed_settings(before, now)) and not config.force:
        raise unfit(found, changed)
    state.restore(found)
    yield Note(f"resumed {found.path.name}")
    yield from _other_rates(config, before, found.step, pictures, processes.count)
    if left := checkpoints.later(config.output / "checkpoints", found.step):
        names = ", ".join(path.name for path in left)
        yield Note(f"{names}: of later steps than the one resumed; deleted when the next checkpoint is complete", warning=True)
    if cut := differences(before, now, (before.keys() | now.keys()) - GLOBAL_BATCH, "then", "now"):
        yield Note(f"{cut}: the same pictures in every step, but other rounding")


def _checkpoint(
    state: TrainState, config: TrainConfig, now: dict[str, Any], processes: Processes
) -> Generator[Event, None, Checkpoint | None]:
    """The one that config.resume asks for; the first process finds it for all. now: the settings of this start."""

    def check(found: Checkpoint) -> None:
        check_facts(found)
        before = settings_then(found, config)
        list(told_of_copies(before, now))
        state.check(found, same_network=not changed_settings(before, now))

    found, warnings = find_checkpoint(config, check) if processes.main else (None, [])
    yield from (Note(text, warning=True) for text in warnings)
    newest = processes.gather(found.path if found else None)[0]
    if newest is None:
        yield Note(f"no checkpoint in {config.output} yet: starting at step 0")
        return None
    return found or checkpoints.read(newest)


def _other_rates(config: TrainConfig, before: dict[str, Any], step: int, pictures: int, processes: int) -> Iterator[Note]:
    """A warning where the run has another length than it had, and its learning rate therefore another course. before: the settings then."""
    length = {"max_steps": before.get("max_steps"), "epochs": before["epochs"]}
    now, then = (loop_config(one, pictures, processes) for one in (config, replace(config, **length)))
    if now.max_steps == then.max_steps or step >= now.max_steps or config.lr_schedule == "constant":
        return
    if lr_at(now, step) == lr_at(then, step):  # still warming up
        step = (step + now.max_steps) // 2
    rate, planned = lr_at(now, step), lr_at(then, min(step, then.max_steps))
    yield Note(
        f"--lr-schedule {config.lr_schedule} ended at step {then.max_steps} and now ends at {now.max_steps}: "
        f"the learning rate of step {step + 1} is {rate:.4g}, and would have been {planned:.4g}",
        warning=True,
    )
