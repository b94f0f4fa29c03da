"""`python -m ldmcli` of which one process is killed in its first start: process 1, as soon as a file lies at $STUMBLES_AT (a pattern)."""

import glob
import os
import signal
import threading
import time


def watch() -> None:
    while not glob.glob(os.environ["STUMBLES_AT"]):
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    if (os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]) == ("1", "0"):
        threading.Thread(target=watch, daemon=True).start()
    from ldmcli.__main__ import run

    run()
