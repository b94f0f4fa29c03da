"""What a launcher (torchrun, `accelerate launch`, srun) says in the environment. Imports no torch."""

import os


def process_count() -> int:
    """How many processes were started for one run; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))
