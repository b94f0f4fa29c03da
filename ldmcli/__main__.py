"""python -m ldmcli, also what `accelerate launch -m ldmcli` and torchrun start."""

import gc
import os
import sys


def run() -> None:
    """The console script: the one caller that owns its process."""
    # Importing torch makes hundreds of thousands of objects that stay; looking for garbage among them after every 700, and once more
    # at the end, costs half as much again as the import (mypy does the same).
    gc.set_threshold(50_000)

    from ldmcli.cli import main

    code = main()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:  # of several processes: what is left of their connections must go before torch does
        gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    run()
