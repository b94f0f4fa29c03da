"""What a launcher (torchrun, `accelerate launch`, srun) says in the environment. Imports no torch."""

import os
import re
from datetime import timedelta

from ldmcli.errors import UsageError

WAIT = timedelta(minutes=30)
"""For a process that neither answers nor has closed its connections; one that has ended is noticed at once."""


def restarted() -> bool:
    """Whether torchrun starts these processes anew after a failure (--max-restarts)."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0) > 0


def process_count() -> int:
    """How many processes were started for one run; 1 without a launcher. Raises UsageError."""
    return _number("WORLD_SIZE", 1)


def process_index() -> int:
    """Which of them this one is, from 0, which speaks for all. Raises UsageError."""
    return _number("RANK", 0) if process_count() > 1 else 0


def local_index() -> int:
    """Which of the processes on this machine this one is, from 0. Raises UsageError."""
    return _number("LOCAL_RANK", 0)


def _number(name: str, least: int) -> int:
    """A variable that a launcher sets; the least that it can be where it is unset or empty."""
    text = os.environ.get(name) or str(least)
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) < least:
        raise UsageError(f"{name}={text} in the environment is not what a launcher sets.", hint=f"Without a launcher: unset {name}")
    return int(text)
