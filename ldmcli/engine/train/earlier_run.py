"""The run that --resume goes on with: its checkpoint and its settings. Imports no torch, so that a wrong one is refused at once."""

from collections.abc import Callable
from dataclasses import fields
from math import prod
from pathlib import Path
from typing import Any

from ldmcli.config.training import TrainConfig
from ldmcli.data.captioned import CaptionedImages
from ldmcli.engine.train.run_settings import MAY_CHANGE, differences, plain, settings_of, told_of_copies
from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.runtime.launcher import process_count
from ldmcli.training import checkpoints
from ldmcli.training.checkpoints import Checkpoint, damaged

GLOBAL_BATCH = {"batch_size", "grad_accum", "processes"}
"""These may differ while their product, the pictures of a step, is the same."""
COUNTS = ("batch_size", "grad_accum", "epochs", "max_steps")
"""Settings of a checkpoint that are reckoned with."""
SET_BY_INIT = {"text_mask", "zero_terminal_snr"}
"""Settings that the model of --init may turn into others."""


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


def refuse_other_run(config: TrainConfig, data: CaptionedImages) -> None:
    """Raise UsageError where the newest checkpoint that --resume names was made with other settings, NewerFormat where by a newer version.

    For one process, before its networks and pictures are read. What only these can tell, and damaged files, `resume` finds.
    """
    if config.resume is None or config.force or config.dry_run:
        return
    run = config.output if config.resume == "auto" else Path(config.resume)
    newest = checkpoints.later(run / "checkpoints", -1)[-1:] or [run]
    try:
        found = checkpoints.stated(newest[0])
        check_facts(found)
    except checkpoints.NewerFormat:
        raise
    except LdmError:
        return  # the one before it may do
    before, now = settings_then(found, config), {**settings_of(config, data), "processes": process_count()}
    list(told_of_copies(before, now))
    decided_later = SET_BY_INIT | (GLOBAL_BATCH | {"auto_batch"} if config.auto_batch else set())
    now |= {key: before[key] for key in decided_later & before.keys()}
    if changed := changed_settings({key: before[key] for key in before.keys() & now.keys()}, now):
        raise unfit(found, changed)


def unfit(found: Checkpoint, changed: str) -> UsageError:
    """What is raised of a checkpoint that was made with other settings."""
    return UsageError(f"{found.path} belongs to a run with other settings: {changed}", hint="--force resumes all the same.")


def settings_then(found: Checkpoint, config: TrainConfig) -> dict[str, Any]:
    """What the run of a checkpoint was made with. One of an older version says nothing of options that came later, and did what is now
    their default."""
    defaults = plain({f.name: f.default for f in fields(config) if isinstance(f.default, str | int | float | tuple)})
    return {**defaults, **found.facts["settings"], "processes": found.facts.get("processes", 1)}


def changed_settings(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What differs and may not; empty where nothing does."""
    same_batch = prod(before[name] for name in GLOBAL_BATCH) == prod(now[name] for name in GLOBAL_BATCH)
    return differences(before, now, MAY_CHANGE | (GLOBAL_BATCH if same_batch else set()), "then", "now")
