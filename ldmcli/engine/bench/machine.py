"""The machine that is measured on: what it is, and how fast it multiplies matrices, which is the roof over everything else."""

import platform
import time
from pathlib import Path
from typing import Any

import torch

from ldmcli import __version__
from ldmcli.errors import LdmError, OutOfMemory

BURST_S, BURSTS, LARGEST = 0.01, 10, 16384


class Stopwatch:
    """Seconds between laps. Waits for the device, whose work would otherwise still be queued."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.lap()

    def lap(self) -> float:
        """Seconds since the last lap."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()
        now = time.perf_counter()
        elapsed, self.last = now - getattr(self, "last", now), now
        return elapsed


@torch.no_grad()
def matmul_peak(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a square matrix product: the best of several bursts, since whatever else runs can only slow one down.

    Sides grow until a product takes 10 ms, and the best of all of them counts: which fits the caches best differs between machines.
    """
    best, side, elapsed = 0.0, 256, 0.0
    while elapsed < BURST_S and side <= LARGEST:
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        watch = Stopwatch(device)
        a @ b  # the first product of a shape also chooses how to compute it
        watch.lap()
        times = []
        for _ in range(BURSTS):
            a @ b
            times.append(watch.lap())
        elapsed = min(times)
        best = max(best, 2 * side**3 / elapsed)
        side *= 2
    return best


def describe_machine(device: torch.device, threads: int) -> dict[str, Any]:
    """Versions and hardware, for the record: no host name, no path."""
    return {
        "ldm": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "threads": threads,
        "device": str(device),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }


def cpu_name() -> str:
    """As the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def as_ldm_error(error: Exception) -> LdmError:
    """Any failure as one of ours, so that it has one line and an exit code."""
    if isinstance(error, LdmError):
        return error
    lines = str(error).splitlines() or [""]
    text = f"{type(error).__name__}: {lines[0]}"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text:
        return OutOfMemory(f"out of memory ({lines[0] or 'host'})", hint="Try a smaller --batch-size or --size.")
    return LdmError(text)
