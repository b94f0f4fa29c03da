"""Several processes of one run, started as torchrun, `accelerate launch` or srun start them."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
"""One thread."""


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def by_launcher(launcher: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`python -m ldmcli ARGUMENTS` as two processes, to the end."""
    port = str(free_port())
    start = {
        "torchrun": ["torch.distributed.run", "--nproc-per-node", "2", "--master-port", port],
        "accelerate": [
            "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no",
            "--dynamo_backend", "no", "--main_process_port", port,
        ],
    }  # fmt: skip
    command = [sys.executable, "-m", *start[launcher], "-m", "ldmcli", *map(str, arguments)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)


def by_hand(programs: Sequence[Sequence[object]]) -> list[subprocess.Popen[str]]:
    """One `python ARGUMENTS` for each, in order; they find each other by the variables that torchrun would set."""
    shared = {"WORLD_SIZE": str(len(programs)), "LOCAL_WORLD_SIZE": str(len(programs)), "MASTER_ADDR": "127.0.0.1"}
    shared["MASTER_PORT"] = str(free_port())
    return [
        subprocess.Popen(
            [sys.executable, *map(str, program)],
            env={**ENVIRONMENT, **shared, "RANK": str(number), "LOCAL_RANK": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=os.getcwd(),
        )
        for number, program in enumerate(programs)
    ]


def ended(processes: list[subprocess.Popen[str]], seconds: float = 600) -> list[tuple[int, str, str]]:
    """(exit code, stdout, stderr) of each, when all are over; none is left behind. seconds: for a machine with much else to do."""
    try:
        talk = [process.communicate(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *said) for process, said in zip(processes, talk, strict=True)]
