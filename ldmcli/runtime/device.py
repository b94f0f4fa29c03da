"""Which device and which precision, and why."""

import os
import re
from dataclasses import dataclass

import torch

from ldmcli.errors import UsageError
from ldmcli.runtime.threads import cores

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Runtime:
    """Where and in what precision to compute. The reasons are sentences for the user."""

    device: torch.device
    dtype: torch.dtype
    device_reason: str
    dtype_reason: str

    @property
    def dtype_name(self) -> str:
        """fp32, fp16 or bf16."""
        return dtype_name(self.dtype)


def dtype_name(dtype: torch.dtype) -> str:
    """fp32, fp16 or bf16."""
    return next(name for name, known in DTYPES.items() if known == dtype)


def select_runtime(device: str, dtype: str) -> Runtime:
    """device: auto, cpu, cuda, cuda:N or mps; dtype: auto, fp32, fp16 or bf16. Raises UsageError for a device that is not there."""
    chosen, device_reason = select_device(device)
    if dtype == "auto":
        precision, dtype_reason = _best_precision(chosen)
    else:
        precision, dtype_reason = DTYPES[dtype], "as asked"
        if precision != torch.float32 and chosen.type == "cpu":
            dtype_reason = f"as asked; {half_on_cpu(precision)}"
    return Runtime(chosen, precision, device_reason, dtype_reason)


def select_device(name: str) -> tuple[torch.device, str]:
    """The device and the reason."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda"), f"found {torch.cuda.get_device_name()}"
        if torch.backends.mps.is_available():
            return torch.device("mps"), "found Apple's GPU"
        return torch.device("cpu"), "no GPU found"
    device = torch.device(name)
    missing = (device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()) or (
        device.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise UsageError(f"--device {name}: there is no such device here.", hint="Try --device auto.")
    return device, "as asked"


def _best_precision(device: torch.device) -> tuple[torch.dtype, str]:
    if device.type == "cpu" and "native" in half_precision(device, torch.bfloat16):
        return torch.float32, f"exact; {half_on_cpu(torch.bfloat16)}, what it brings: ldm bench --dtype fp32,bf16"
    if device.type != "cuda":
        return torch.float32, f"{device.type} has no fast half precision that we trust"
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16, "the GPU has it natively"
    return torch.float16, "the GPU predates bf16"


def half_precision(device: torch.device, dtype: torch.dtype) -> str:
    """How the hardware multiplies in this precision: native, with the unit that does it, emulated, or unknown."""
    if dtype == torch.float32:
        return "native"
    if device.type == "cuda":
        native = dtype == torch.float16 or torch.cuda.is_bf16_supported(including_emulation=False)
        return "native" if native else "emulated"
    if device.type == "cpu" and hasattr(torch.cpu, "get_capabilities"):
        has = torch.cpu.get_capabilities()
        units = ("amx_bf16", "avx512_bf16") if dtype == torch.bfloat16 else ("amx_fp16", "avx512_fp16")
        if has.get("architecture") == "x86_64":
            return next((f"native ({unit})" for unit in units if has.get(unit)), "emulated")
    return "unknown"


def cpu_bf16_unit() -> str | None:
    """amx_bf16 or avx512_bf16, what this processor has for products in bf16; None where it has neither or that cannot be known."""
    found = re.search(r"native \((.+)\)", half_precision(torch.device("cpu"), torch.bfloat16))
    return found[1] if found else None


LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")
"""Variables that keep the libraries below torch from what the processor can do. They choose by themselves else, and do not say what."""


def instruction_set(device: torch.device) -> str | None:
    """For which kind of processor torch computes there: avx2, avx512, ... with the limits that are set; sm_90 of a GPU; None if unknown."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"sm_{major}{minor}"
    if device.type != "cpu":
        return None
    limits = [f"{name}={os.environ[name]}" for name in LIMITS if os.environ.get(name)]
    return " ".join([torch.backends.cpu.get_cpu_capability().lower(), *limits])


def half_on_cpu(dtype: torch.dtype) -> str:
    """What a user who asks a CPU for half precision should know."""
    name, kind = dtype_name(dtype), half_precision(torch.device("cpu"), dtype)
    return f"{name} is {kind} here" if "native" in kind else f"{name} is emulated on this CPU, and slow"


def set_threads() -> int:
    """Use the cores this process may run on, unless OMP_NUM_THREADS says otherwise. A fixed rule, so that results do not depend on load."""
    threads = int(os.environ.get("OMP_NUM_THREADS") or cores())
    use_threads(threads)
    return threads


def use_threads(count: int) -> None:
    """Give torch this many in the calling thread of Python. Not told anew where it has them already.

    torch.set_num_threads also takes from MKL the freedom to use fewer, in the whole process; beside other computing processes, with
    threads that wait long, drawing was mostly slower for it. The pictures are the same bytes.
    """
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
