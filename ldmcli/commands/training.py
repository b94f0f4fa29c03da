"""What train-vae and train-unet have in common on the command line."""

import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ldmcli.commands.resume import newest_of_itself
from ldmcli.commands.settings import Invocation
from ldmcli.config.training import TrainConfig
from ldmcli.errors import UsageError
from ldmcli.runtime.launcher import process_count

if TYPE_CHECKING:
    from ldmcli.data.captioned import CaptionedImages

C = TypeVar("C", bound=TrainConfig)


def resolve_config(invocation: Invocation, kind: type[C]) -> C:
    """The run's config; without -o the next free folder. Raises UsageError."""
    from ldmcli.engine.train.sharding import sharding_of

    # It asks a run to save: until the run listens there is nothing to save, and nothing to die of.
    with suppress(ValueError):  # outside the main thread, where nothing listens either
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    given = newest_of_itself(invocation.given(kind))
    if "data" not in given:
        raise UsageError(f"--data is missing: the folder (or tar shards) with captioned pictures for {invocation.command}.")
    if "output" not in given and process_count() > 1:
        raise UsageError("-o is missing: several processes need one name for the run.")
    config = kind(**{"output": free_run(invocation.command), **given})
    invocation.refuse_conflicts(config)
    sharding_of(config)  # before the data is looked at, which may take long
    return config


def listed(config: TrainConfig) -> "CaptionedImages | None":
    """The data of a run, once its checkpoint, if it goes on, is known to fit; None of several processes. Raises LdmError."""
    from ldmcli.engine.train.earlier_run import refuse_other_run
    from ldmcli.engine.train.listing import captioned_alone

    data = captioned_alone(config)
    if data is not None:
        refuse_other_run(config, data)
    return data


def free_run(command: str) -> Path:
    """runs/COMMAND-N with the first number that is not taken."""
    number = 1
    while (path := Path("runs") / f"{command}-{number}").exists():
        number += 1
    return path
