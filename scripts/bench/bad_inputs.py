"""Bad inputs, each in a fresh `ldm`: exit code, seconds, peak memory and what is said; the 58 of every version and those found since.

    python scripts/bench/bad_inputs.py [--only WORDS] [--by-cpu] [--json FILE]

A row is wrong, and the script ends with 1, where the exit code is another one, the message lacks its words or has a traceback, it took more
than --seconds without drawing anything, or more than --megabytes. --by-cpu judges the processor's seconds, where a machine has other work.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from hostile.bad_files import FILES  # noqa: E402
from hostile.bad_models import MODELS  # noqa: E402
from hostile.listed import LISTED  # noqa: E402
from hostile.workspace import Row, Workspace  # noqa: E402


@dataclass(frozen=True)
class Result:
    """What became of a row. wrong: nothing, or why."""

    name: str
    code: int
    seconds: float
    cpu_seconds: float
    peak_mb: float
    torch: bool
    message: str
    wrong: str = ""


def run(row: Row, workspace: Workspace, here: Path, args: argparse.Namespace) -> Result:
    """One process."""
    here.mkdir()
    argv = [sys.executable, "-m", "ldmcli", *map(str, row.make(workspace, here))]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(here / "hub"), "COLUMNS": "1000"}
    began = time.perf_counter()
    with (here / "said").open("wb") as said:
        child = subprocess.Popen(argv, cwd=here, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
        code, used, peak, torch = wait(child, 120)
    seconds = time.perf_counter() - began
    text = re.sub(r"\x1b\[[0-9;]*m", "", (here / "said").read_text(encoding="utf-8", errors="replace"))
    lines = [line for line in text.splitlines() if line.startswith(("error:", "warning:"))]
    message = (lines or text.splitlines() or [""])[-1][:160]
    result = Result(row.name, code, seconds, used.ru_utime + used.ru_stime, peak / 1024, torch, message)
    return Result(**{**asdict(result), "wrong": fault(row, result, text, here, args)})


def wait(child: "subprocess.Popen[bytes]", most: float) -> tuple[int, Any, int, bool]:
    """Exit code, what was used, the peak in KiB, and whether torch was imported; one that does not end is killed.

    The peak is that of the program itself: what wait4 says of it begins with that of the process which started it.
    """
    end, peak, torch, looked = time.monotonic() + most, 0, False, 0.0
    while True:
        with contextlib.suppress(OSError):
            found_peak = re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{child.pid}/status").read_text())
            peak = max(peak, int(found_peak[1])) if found_peak else peak
            if not torch and time.monotonic() - looked > 0.05:
                torch, looked = "libtorch" in Path(f"/proc/{child.pid}/maps").read_text(), time.monotonic()
        found, status, used = os.wait4(child.pid, os.WNOHANG)
        if found:
            child.returncode = os.waitstatus_to_exitcode(status)
            return child.returncode, used, peak, torch
        if time.monotonic() > end:
            child.kill()
        time.sleep(0.005)


def fault(row: Row, result: Result, text: str, here: Path, args: argparse.Namespace) -> str:
    """Why a row is wrong, or nothing."""
    codes = row.code if isinstance(row.code, tuple) else (row.code,)
    seconds = result.cpu_seconds if args.by_cpu else result.seconds
    reasons = {
        f"exit code {result.code}, not {row.code}": result.code not in codes,
        f"says nothing of {row.words!r}": row.words not in text,
        "a traceback": "Traceback" in text,
        f"{seconds:.1f} s": seconds > args.seconds and not row.draws,
        f"{result.peak_mb:.0f} MB": result.peak_mb > args.megabytes,
        "what a pickle named was run": (here / "sentinel").exists(),
    }
    return "; ".join(reason for reason, holds in reasons.items() if holds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--megabytes", type=float, default=400.0)
    parser.add_argument("--by-cpu", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="ldm-bad-inputs-") as folder:
        os.environ["OMP_NUM_THREADS"] = "1"
        workspace = Workspace(Path(folder))
        subprocess.run([sys.executable, "-c", "import torch"], check=True)  # from the disk once: how long that takes is no row's matter
        rows = [row for row in [*LISTED, *MODELS, *FILES] if args.only in row.name]
        for number, row in enumerate(rows):
            result = run(row, workspace, Path(folder) / f"row-{number}", args)
            results.append(result)
            figures = f"{result.code:4} {result.seconds:6.2f} s {result.peak_mb:5.0f} MB {'torch' if result.torch else '':5}"
            print(f"{result.name:42.42} {figures}  {result.message.replace(folder, '')}", flush=True)
            if result.wrong:
                print(f"    WRONG: {result.wrong}", flush=True)
    wrong = sum(bool(result.wrong) for result in results)
    refused = [result for result, row in zip(results, rows, strict=True) if not row.draws]
    print(f"{len(results)} rows, {wrong} wrong; {sum(result.torch for result in refused)} of {len(refused)} that draw nothing import torch")
    if args.json:
        args.json.write_text(json.dumps([asdict(result) for result in results], indent=1))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
