"""What a launcher (torchrun, `accelerate launch`, srun) says in the environment. Imports no torch."""

import os
import re
from datetime import timedelta

from ldmcli.errors import UsageError

WAIT = timedelta(minutes=30)
"""For a process that neither answers nor has closed its connections; one that has ended is noticed at once."""

SHARDED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism config",
}
"""Ways to train a network of which each process holds a part, and the variables by which `accelerate launch` asks for them."""


def check_whole_networks() -> None:
    """Raise UsageError where each process is to hold a part of the network: on GPUs a checkpoint would be of one part, on CPUs nothing
    would come of it."""
    for variable, name in SHARDED.items():
        if os.environ.get(variable, "").lower() == "true":
            raise UsageError(
                f"accelerate is set up for {name}, and training holds the whole network in every process.",
                hint=f"Leave it out of accelerate's configuration, or unset {variable}; --grad-accum makes a step take less memory.",
            )


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
