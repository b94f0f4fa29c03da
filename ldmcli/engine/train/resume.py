"""Going on from a checkpoint: which one, whether it belongs to this run, and what is told of it."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import fields, replace
from math import prod
from pathlib import Path
from typing import Any

from ldmcli.config.training import TrainConfig
from ldmcli.engine.train.run_folder import MAY_CHANGE, differences, plain, told_of_copies
from ldmcli.engine.train.training_loop import loop_config
from ldmcli.errors import NotFound, UsageError
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.runtime.processes import Processes
from ldmcli.training import checkpoints
from ldmcli.training.checkpoints import Checkpoint, damaged
from ldmcli.training.loop import lr_at
from ldmcli.training.state import TrainState

GLOBAL_BATCH = {"batch_size", "grad_accum", "processes"}
"""These may differ while their product, the pictures of a step, is the same."""
COUNTS = ("batch_size", "grad_accum", "epochs", "max_steps")
"""Settings of a checkpoint that are reckoned with."""


def check_facts(found: Checkpoint) -> None:
    """Raise LdmError where its manifest lacks what going on needs."""
    settings = found.facts.get("settings")
    if not isinstance(settings, dict):
        raise damaged(found.path, "its manifest.json has no settings")
    for name, count in [("processes", found.facts.get("processes", 1)), *((name, settings.get(name, 1)) for name in COUNTS)]:
        if type(count) is not int or count < 1:
            raise damaged(found.path, f"its manifest.json says {name} {count!r}"[:200])


def find_checkpoint(config: TrainConfig, check: Callable[[Checkpoint], None] = check_facts) -> tuple[Checkpoint | None, list[str]]:
    """The checkpoint that config.resume asks for, and a warning for each that was passed over. Raises NotFound, LdmError for one that is
    damaged and NewerFormat. check: raises LdmError for one that cannot be gone on with.
    """
    if config.resume is None:
        return None, []
    run = config.output if config.resume == "auto" else Path(config.resume)
    if config.resume != "auto" and not run.is_dir():
        raise NotFound(f"--resume {run}: no such run or checkpoint.")
    if config.resume != "auto" and not (run / "checkpoints").is_dir():
        found = checkpoints.read(run)
        check(found)
        return found, []
    newest, warnings = checkpoints.newest(run / "checkpoints", check)
    if newest is None and (config.resume != "auto" or checkpoints.later(run / "checkpoints", -1)):
        raise NotFound(
            f"--resume {config.resume}: {run} has no whole checkpoint.", hint=" ".join([*warnings, "Or begin anew with another -o."])
        )
    return newest, warnings


def resume(state: TrainState, config: TrainConfig, settings: dict[str, Any], processes: Processes, pictures: int) -> Iterator[Event]:
    """Restore the checkpoint that config.resume asks for, if there is one, and say so. pictures: those trained on."""
    if config.resume is None:
        return
    now = {**settings, "processes": processes.count}
    found = yield from _checkpoint(state, config, now, processes)
    if found is None:
        return
    before = _settings_then(found, config)
    yield from told_of_copies(before, now)
    changed = _changed(before, now)
    if changed and not config.force:
        raise UsageError(f"{found.path} belongs to a run with other settings: {changed}", hint="--force resumes all the same.")
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
        before = _settings_then(found, config)
        list(told_of_copies(before, now))
        state.check(found, same_network=not _changed(before, now))

    found, warnings = find_checkpoint(config, check) if processes.main else (None, [])
    yield from (Note(text, warning=True) for text in warnings)
    newest = processes.gather(found.path if found else None)[0]
    if newest is None:
        yield Note(f"no checkpoint in {config.output} yet: starting at step 0")
        return None
    return found or checkpoints.read(newest)


def _settings_then(found: Checkpoint, config: TrainConfig) -> dict[str, Any]:
    """What the run of a checkpoint was made with. One of an older version says nothing of options that came later, and did what is now
    their default."""
    defaults = plain({f.name: f.default for f in fields(config) if isinstance(f.default, str | int | float | tuple)})
    return {**defaults, **found.facts["settings"], "processes": found.facts.get("processes", 1)}


def _changed(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What differs and may not."""
    same_batch = prod(before[name] for name in GLOBAL_BATCH) == prod(now[name] for name in GLOBAL_BATCH)
    return differences(before, now, MAY_CHANGE | (GLOBAL_BATCH if same_batch else set()), "then", "now")


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
