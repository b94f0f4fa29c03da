"""Several processes of one run, started as torchrun, `accelerate launch` or srun start them."""

import fcntl
import os
import random
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from running import finished

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
"""One thread."""

PORTS = range(20_000, 32_000)
"""Below those that the system hands out by itself (Linux: 32,768 and up), above those that SLURM's script cannot name."""

HELD = []
"""Locks on the ports that were given out, until this process ends: other workers of the suite look for ports at the same time."""


def free_port() -> int:
    """A port of this machine that nobody listens on, and that no other test is given."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        lock = open(Path(tempfile.gettempdir()) / f"ldm-test-port-{port}", "a")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        HELD.append(lock)
        return port


def rendezvous(count: int, port: int) -> dict[str, str]:
    """The variables by which processes of one run find each other, without those that tell them apart."""
    return {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def by_agent(count: int) -> tuple[Any, list[dict[str, str]]]:
    """What torchrun gives each of its processes, and the store that it keeps for them, over restarts too; to be held meanwhile."""
    from torch.distributed import TCPStore

    port = free_port()
    store = TCPStore("127.0.0.1", port, count + 1, True, wait_for_workers=False)
    shared = {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0"}
    return store, [{**rendezvous(count, port), **shared, "RANK": str(number), "LOCAL_RANK": str(number)} for number in range(count)]


def launcher_words(launcher: str, restarts: int = 0) -> list[str]:
    """Of a launcher of two processes: its module, and its own arguments. restarts: how often torchrun may. fsdp is accelerate too."""
    port = str(free_port())
    accelerate = [
        "accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
        "--main_process_port", port,
    ]  # fmt: skip
    start = {
        "torchrun": ["torch.distributed.run", "--nproc-per-node", "2", "--master-port", port, "--max-restarts", str(restarts)],
        "accelerate": [*accelerate, "--multi_gpu"],
        "fsdp": [*accelerate, "--use_fsdp", "--fsdp_version", "2"],
    }
    return start[launcher]


def by_launcher(
    launcher: str, *arguments: object, module: str = "ldmcli", restarts: int = 0, **variables: str
) -> subprocess.CompletedProcess[str]:
    """`python -m MODULE ARGUMENTS` as two processes, to the end.

    restarts: how often torchrun may start them anew; variables: added to the environment.
    """
    command = [sys.executable, "-m", *launcher_words(launcher, restarts), "-m", module, *arguments]
    return finished(command, env={**ENVIRONMENT, **variables})
