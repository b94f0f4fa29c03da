"""python -m ldmcli, also what `accelerate launch -m ldmcli` and torchrun start."""

import sys


def run() -> None:
    """The console script."""
    from ldmcli.cli import main

    sys.exit(main())


if __name__ == "__main__":
    run()
