"""What a launcher (torchrun, `accelerate launch`, srun) says in the environment. Imports no torch."""

import os
from datetime import timedelta

WAIT = timedelta(minutes=30)
"""For a process that neither answers nor has closed its connections; one that has ended is noticed at once."""


def restarted() -> bool:
    """Whether torchrun starts these processes anew after a failure (--max-restarts)."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or "0") > 0


def process_count() -> int:
    """How many processes were started for one run; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_index() -> int:
    """Which of the processes on this machine this one is, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))
