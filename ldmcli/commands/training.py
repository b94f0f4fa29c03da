"""What train-vae and train-unet have in common on the command line."""

from pathlib import Path
from typing import Any, TypeVar

from ldmcli.commands.resume import NEWEST, newest_of_itself
from ldmcli.commands.settings import Invocation
from ldmcli.config.training import TrainConfig
from ldmcli.config.training_groups import AUTO
from ldmcli.errors import UsageError
from ldmcli.runtime.launcher import process_count, restarted

C = TypeVar("C", bound=TrainConfig)


def resolve_config(invocation: Invocation, kind: type[C]) -> C:
    """The run's config; without -o the next free folder. Raises UsageError."""
    given = newest_of_itself(invocation.given(kind))
    if "data" not in given:
        raise UsageError(f"--data is missing: the folder (or tar shards) with captioned pictures for {invocation.command}.")
    if "output" not in given and process_count() > 1:
        raise UsageError("-o is missing: several processes need one name for the run.")
    if restarted() and _own_checkpoints(given):
        given["resume"] = AUTO
    config = kind(**{"output": free_run(invocation.command), **given})
    invocation.refuse_conflicts(config)
    return config


def free_run(command: str) -> Path:
    """runs/COMMAND-N with the first number that is not taken."""
    number = 1
    while (path := Path("runs") / f"{command}-{number}").exists():
        number += 1
    return path


def _own_checkpoints(given: dict[str, Any]) -> bool:
    """Whether a run that torchrun starts anew goes on from its newest checkpoint: unless --resume names one in its own folder, where later
    ones may be those of an earlier start, or one elsewhere and there is none of its own yet."""
    if given.get("resume") in (None, *NEWEST):
        return True
    run = Path(given["output"]).resolve()
    return run not in Path(given["resume"]).resolve().parents and any((run / "checkpoints").glob("step-*"))
