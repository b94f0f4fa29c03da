"""How much memory this process and its GPU hold, now and at most."""

import ctypes
import gc
import mmap
import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import torch

from ldmcli.records.notes import Memory

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
"""Of malloc.h."""

RESERVE, TRAINING_RESERVE, LARGEST_IN_HEAP = 256 * 2**20, 2047 * 2**20, 32 * 2**20
"""Bytes: of what is freed while sampling and while training, of which mallopt takes an int; the third is the most that it allows."""

MAPPED_AT_MOST = 65_536
"""Blocks outside the heap, the C library's default."""

SAID_BY_USERS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_")
"""Variables of what mallopt would overrule; GLIBC_TUNABLES may say the same."""


def memory(device: torch.device) -> Memory:
    """Bytes in use now and at the peak. VRAM is what torch's allocator holds, None without a GPU."""
    # Linux counts ru_maxrss in KiB, macOS in bytes.
    peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    on_gpu = device.type == "cuda"
    return Memory(
        rss_bytes=psutil.Process().memory_info().rss,
        peak_rss_bytes=peak_rss,
        vram_bytes=torch.cuda.memory_allocated(device) if on_gpu else None,
        peak_vram_bytes=torch.cuda.max_memory_allocated(device) if on_gpu else None,
    )


def available_bytes(device: torch.device) -> int:
    """What can be taken without swapping, or is free on the GPU, torch's own reserve included. A container's limit is not seen."""
    if device.type != "cuda":
        return psutil.virtual_memory().available
    reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + reserve


def total_bytes() -> int:
    """What the machine has, or the control group of this process is allowed."""
    limit = Path("/sys/fs/cgroup/memory.max")
    with suppress(OSError, ValueError):  # not Linux, or the older hierarchy; "max" is no limit
        return min(psutil.virtual_memory().total, int(limit.read_text()))
    return psutil.virtual_memory().total


def keep_freed_memory(*, for_training: bool = False) -> None:
    """Let the C library keep up to RESERVE of what is freed, for the loop to take again, unless the user's environment says otherwise.

    for_training: up to TRAINING_RESERVE, in huge pages where the system gives them. Those are taken whole, so a short process goes without.

    It gives the end of its heap back by itself, once that is twice the largest block: a U-Net call on eight small pictures then fetched
    6,400 pages anew, an eighth of its time. `give_back` still returns everything.
    """
    said = any(name in os.environ for name in SAID_BY_USERS) or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
    if sys.platform == "linux" and not said:
        with suppress(OSError, AttributeError):  # musl has no mallopt
            library = ctypes.CDLL(None)
            library.mallopt(M_TRIM_THRESHOLD, TRAINING_RESERVE if for_training else RESERVE)
            library.mallopt(M_MMAP_THRESHOLD, LARGEST_IN_HEAP)  # stating one of them fixes both
            if for_training:
                _ask_for_huge_pages(library, TRAINING_RESERVE - LARGEST_IN_HEAP)  # less than is given back at once


def _ask_for_huge_pages(library: ctypes.CDLL, size: int) -> None:
    """For the next `size` bytes that the heap grows by: 2 MiB each instead of 4 KiB.

    Linux gives them to who asks (transparent_hugepage/enabled: madvise), and the heap cannot be asked to ask (glibc.malloc.hugetlb is read
    before a program begins). So it is made to grow once, by a block that nobody touches, and keeps those addresses.
    """
    library.malloc.restype, library.malloc.argtypes, library.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    library.mallopt(M_MMAP_MAX, 0)
    block = library.malloc(size)
    library.mallopt(M_MMAP_MAX, MAPPED_AT_MOST)
    if block:
        page = mmap.PAGESIZE
        library.madvise(-(-block // page) * page, size - page, mmap.MADV_HUGEPAGE)
        library.free(block)


def give_back() -> None:
    """Return what was freed to the system: the C library and torch's allocator keep it for later otherwise."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # musl has no malloc_trim
            ctypes.CDLL(None).malloc_trim(0)


def reset_peak(device: torch.device) -> None:
    """Let the peaks start again from what is held now. Where the system cannot (not Linux), the process's peak stays what it was."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): sets the peak resident set size to the current one


class Growth:
    """How much more memory is held at most than when this was made: of a GPU, if that is where it is computed, else of this process."""

    def __init__(self, device: torch.device) -> None:
        gc.collect()
        give_back()
        now = memory(device)
        self.device, self.before = device, now.rss_bytes if now.vram_bytes is None else now.vram_bytes

    def peak_bytes(self) -> int:
        """Since the last `reset_peak`."""
        now = memory(self.device)
        return (now.peak_rss_bytes if now.peak_vram_bytes is None else now.peak_vram_bytes) - self.before
