"""What train-vae and train-unet have in common on the command line."""

import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ldmcli.commands.resume import newest_of_itself
from ldmcli.commands.settings import Invocation
from ldmcli.config.training import TrainConfig
from ldmcli.console import output
from ldmcli.errors import LdmError, UsageError
from ldmcli.records.notes import Note
from ldmcli.runtime.launcher import process_count, restarted

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
    """The data of a run that may begin, as far as that shows before torch is imported: in its folder, its checkpoint, if it goes on, and
    the number of its pictures. None of several processes, and where torchrun starts a run anew. Raises LdmError."""
    from ldmcli.engine.train.earlier_run import refuse_other_run
    from ldmcli.engine.train.listing import captioned
    from ldmcli.engine.train.picture_counts import check_listed
    from ldmcli.engine.train.run_lock import refuse_taken

    if process_count() > 1 or restarted():  # several find each other first, so that what ends one ends all; a restart goes on by itself
        return None
    refuse_taken(config)
    data = captioned(config)
    try:
        refuse_other_run(config, data)
        check_listed(config, data)
    except LdmError:
        list(output.shown((Note(text, warning=True) for text in data.problems), quiet=True))  # perhaps that is why
        raise
    return data


def free_run(command: str) -> Path:
    """runs/COMMAND-N with the first number that is not taken."""
    number = 1
    while (path := Path("runs") / f"{command}-{number}").exists():
        number += 1
    return path
