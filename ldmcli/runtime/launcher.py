"""What a launcher (torchrun, `accelerate launch`, srun) says in the environment. Imports no torch."""

import os


def restarted() -> bool:
    """Whether torchrun starts these processes anew after a failure (--max-restarts)."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT") or "0") > 0


def process_count() -> int:
    """How many processes were started for one run; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))
