"""python -m ldmcli, also what `accelerate launch -m ldmcli` and torchrun start."""

import _signal as signal  # type: ignore[import-not-found]  # what `signal` is made of, without its enum, which takes most of the time to run()
import gc
import os
import sys

# Nothing else up here: until the handlers of run() stand, Ctrl-C is a traceback of Python's, as it is while Python itself starts.


def run() -> None:
    """The console script: the one caller that owns its process."""
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
    ):  # until `listen`: there is nothing yet that a traceback could be of use for
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # ignored under nohup
            signal.signal(number, lambda number, frame: os._exit(130 if number == signal.SIGINT else 143))

    from ldmcli.console import streams
    from ldmcli.runtime import signals
    from ldmcli.runtime.ending import EXIT_CODES

    streams.secure()
    with signals.listen(whole_process=True):
        code = streams.finish(_run())
    if os.environ.get("WORLD_SIZE", "1") != "1" or code in EXIT_CODES.values():
        # torch is taken down under gloo's threads where something still holds the connections, and the process would abort. And while
        # Python takes itself down, a second signal would kill it: another code.
        os._exit(code)
    gc.freeze()
    sys.exit(code)


def _run() -> int:
    # Importing torch makes hundreds of thousands of objects that stay; looking for garbage among them after every 700, and once more
    # at the end, costs half as much again as the import (mypy does the same).
    gc.set_threshold(50_000)

    from ldmcli.runtime.threads import wait_briefly

    wait_briefly()

    try:
        from ldmcli.cli import main
    except MemoryError:
        print("error: out of memory.", file=sys.stderr)
        return 5
    return main()


if __name__ == "__main__":
    run()
