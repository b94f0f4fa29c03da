"""Which device and precision are chosen, and what the user is told about it."""

import os
import sys
from pathlib import Path

import pytest
import torch

from ldmcli.errors import UsageError
from ldmcli.runtime.device import DTYPES, half_precision, select_device, select_runtime, set_threads
from ldmcli.runtime.memory import memory, reset_peak

no_gpu = pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="there is a GPU here")


@pytest.mark.parametrize("name", ["cuda:9", "cuda:99"])
def test_a_device_that_is_not_there_is_a_usage_error_that_names_it(name):
    with pytest.raises(UsageError, match=f"--device {name}: there is no such device") as caught:
        select_device(name)
    assert caught.value.exit_code == 2 and "--device auto" in caught.value.hint


@no_gpu
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_without_a_gpu_none_can_be_asked_for(name):
    with pytest.raises(UsageError):
        select_runtime(name, "auto")


@no_gpu
def test_auto_without_a_gpu_is_the_cpu_in_fp32_and_says_why():
    runtime = select_runtime("auto", "auto")
    assert (runtime.device.type, runtime.dtype, runtime.dtype_name) == ("cpu", torch.float32, "fp32")
    assert runtime.device_reason == "no GPU found"
    native = "native" in half_precision(torch.device("cpu"), torch.bfloat16)
    assert runtime.dtype_reason.startswith("exact; bf16 is native" if native else "cpu has no fast half precision that we trust")


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("units", [{}, {"amx_bf16": True, "amx_fp16": True}], ids=["without units", "with units"])
def test_an_explicit_precision_on_a_cpu_is_used_and_half_of_it_called_slow_where_it_is(name, units, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64", **units}, raising=False)
    runtime = select_runtime("cpu", name)
    assert runtime.dtype == DTYPES[name] and runtime.dtype_name == name and runtime.device_reason.startswith("as asked")
    slow = "emulated" in runtime.dtype_reason and "slow" in runtime.dtype_reason
    assert slow == (name != "fp32" and not units) and ("native (amx" in runtime.dtype_reason) == (name != "fp32" and bool(units))


def test_reasons_are_words_for_people():
    for device in ("auto", "cpu"):
        for dtype in ("auto", *DTYPES):
            runtime = select_runtime(device, dtype)
            for reason in (runtime.device_reason, runtime.dtype_reason):
                assert len(reason.split()) >= 2 and "torch." not in reason and "\n" not in reason


@pytest.mark.parametrize(("variable", "expected"), [("1", 1), ("3", 3), (None, len(os.sched_getaffinity(0)))])
def test_threads_follow_the_variable_or_the_cores_of_this_process(monkeypatch, variable, expected):
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    try:
        assert set_threads() == torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


def test_memory_on_a_cpu_has_no_vram_and_a_peak_that_notices_an_allocation():
    before = memory(torch.device("cpu"))
    block = torch.ones(2**25)  # 128 MiB, written to
    during = memory(torch.device("cpu"))
    assert before.vram_bytes is None and before.peak_vram_bytes is None
    assert during.rss_bytes - before.rss_bytes > 100 * 2**20
    assert during.peak_rss_bytes >= during.rss_bytes * 0.99
    del block


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process reset its peak")
def test_a_peak_that_was_reset_forgets_what_is_freed():
    cpu = torch.device("cpu")
    block = torch.ones(2**26)  # 256 MiB
    high = memory(cpu).peak_rss_bytes
    del block
    reset_peak(cpu)
    assert memory(cpu).peak_rss_bytes < high - 200 * 2**20


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="the system does not list the processor's flags")
def test_half_precision_is_native_where_the_processor_has_a_unit_for_it():
    cpu, flags = torch.device("cpu"), Path("/proc/cpuinfo").read_text().split()
    assert half_precision(cpu, torch.float32) == "native"
    if torch.cpu.get_capabilities().get("architecture") == "x86_64":
        units = [unit for unit in ("amx_bf16", "avx512_bf16") if unit in flags]
        assert half_precision(cpu, torch.bfloat16) == (f"native ({units[0]})" if units else "emulated")
