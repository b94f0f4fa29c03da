"""One job by one process, several, and parts, killed at random and resumed by another number: the same files and rows. And how fast.

    python scripts/bench/sharing.py [--prompts 200] [--steps 2] [-m MODEL] [--pace-pictures 64] [--pace-steps 20] [--only equal|pace]

Prints a JSON document. `equal`: for each way whether pictures and manifest are those of one process. `pace`: pictures a second of the
drawing alone, by one process on one core and by two on a core each.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ldmcli.outputs.manifest import Manifest

LDM = [sys.executable, "-m", "ldmcli"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}


def launched(count: int) -> list[str]:
    """The beginning of a command for so many processes."""
    return (
        LDM
        if count == 1
        else [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), "-m", "ldmcli"]
    )


def state(folder: Path) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """Every picture, and the newest row of each by number, without how long it took."""
    rows = {row["number"]: {**row, "seconds": None} for row in Manifest(folder).rows if row.get("status") == "ok"}
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}, [rows[number] for number in sorted(rows)]


def run(command: list[str], *, kill_at: int | None = None, folder: Path | None = None) -> None:
    """To its end, or until so many pictures are there: then kill -9 to a process of it, chosen at random, and SIGKILL to the rest."""
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    if kill_at is None or folder is None:
        _, said = process.communicate(timeout=900)
        if process.returncode:
            raise SystemExit(said.decode())
        return
    while process.poll() is None and len(list(folder.glob("*.png"))) < kill_at:
        time.sleep(0.01)
    children = subprocess.run(["pgrep", "-g", str(process.pid)], capture_output=True, text=True).stdout.split()
    if children and process.poll() is None:
        os.kill(int(random.choice(children)), signal.SIGKILL)
        time.sleep(random.random())
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def equal(job: list[str], count: int, place: Path) -> dict[str, bool]:
    """Each way against one process."""
    run([*LDM, *job, "-o", f"{place}/whole/"])
    whole, found = state(place / "whole"), {}
    for first, then in ((1, 1), (2, 2), (3, 3), (3, 2), (2, 1), (1, 3)):
        out, name = place / f"{first}-{then}", f"{first} processes"
        if first != then:
            name = f"{first} processes killed, resumed by {then}"
            run([*launched(first), *job, "-o", f"{out}/"], kill_at=random.randrange(count // 8, count // 2), folder=out)
        run([*launched(then), *job, "-o", f"{out}/", *(["--resume"] if first != then else [])])
        found[name] = state(out) == whole
    for parts, then in ((2, 7), (7, 2)):
        out = place / f"parts-{parts}"
        for number in range(1, parts + 1):
            goal = random.randrange(number * count // parts // 2, number * count // parts // 2 + count // parts // 2)
            run([*LDM, *job, "-o", f"{out}/", "--shard", f"{number}/{parts}"], kill_at=goal, folder=out)
        for number in range(1, then + 1):
            run([*LDM, *job, "-o", f"{place}/then-{parts}-{number}/", "--shard", f"{number}/{then}"])
        run([*LDM, *job, "-o", f"{out}/", "--resume"])
        folders = [f"{place}/then-{parts}-{number}/" for number in range(1, then + 1)]
        run([*LDM, "generate", "--merge", *folders, f"{out}/", "-o", f"{place}/merged-{parts}/"])
        found[f"--shard of {parts} killed and resumed by one"] = state(out) == whole
        found[f"--shard of {then} merged with it"] = state(place / f"merged-{parts}") == whole
    return found


def pace(job: list[str], count: int, place: Path) -> dict[str, float]:
    """Pictures a second without the start, each process on a core of its own."""
    cores, found = sorted(os.sched_getaffinity(0)), {}
    for processes in (1, 2):
        port = str(random.randrange(20_000, 30_000))
        started = []
        for number in range(processes):
            shared = {"WORLD_SIZE": str(processes), "RANK": str(number), "LOCAL_RANK": str(number), "MASTER_ADDR": "127.0.0.1"}
            command = ["taskset", "-c", str(cores[number]), *LDM, *job, "--json", "-o", f"{place}/pace-{processes}/"]
            environment = {**ENVIRONMENT, **shared, "MASTER_PORT": port}
            started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
        answers = [process.communicate(timeout=900)[0] for process in started]
        timing = json.loads(answers[0])["timing"]
        found[f"{processes} processes, pictures a second"] = round(count / (timing["total_s"] - timing["load_s"]), 3)
    one, two = found.values()
    return {**found, "times": round(two / one, 3)}


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--pace-pictures", type=int, default=64)
    parser.add_argument("--pace-steps", type=int, default=20)
    parser.add_argument("-m", "--model", default="bundled")
    parser.add_argument("--only", choices=("equal", "pace"))
    args = parser.parse_args()
    random.seed(1)
    with tempfile.TemporaryDirectory() as folder:
        place, found = Path(folder), {}
        (place / "prompts.jsonl").write_text("\n".join(json.dumps({"prompt": f"a dog {i}"}) for i in range(args.prompts)))
        shared = ["-m", args.model, "--device", "cpu", "-s", "1"]
        if args.only != "pace":
            job = ["generate", "-f", f"{place}/prompts.jsonl", "--steps", str(args.steps), "-q", *shared]
            found["equal"] = equal(job, args.prompts, place)
        if args.only != "equal":
            job = ["generate", "a dog", "-n", str(args.pace_pictures), "--steps", str(args.pace_steps), *shared]
            found["pace"] = pace(job, args.pace_pictures, place)
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
