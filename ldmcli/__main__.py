"""python -m ldmcli, also what `accelerate launch -m ldmcli` and torchrun start."""

import gc
import os
import sys

from ldmcli.runtime.launcher import process_count
from ldmcli.runtime.threads import wait_briefly


def run() -> None:
    """The console script: the one caller that owns its process."""
    # Importing torch makes hundreds of thousands of objects that stay; looking for garbage among them after every 700, and once more
    # at the end, costs half as much again as the import (mypy does the same).
    gc.set_threshold(50_000)
    wait_briefly()

    from ldmcli.cli import main

    code = main()
    if process_count() > 1:
        # torch is taken down under gloo's threads where something still holds the connections, and the process would abort.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    run()
