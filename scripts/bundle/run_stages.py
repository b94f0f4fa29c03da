"""Make the bundled model and its scorer from nothing: python scripts/bundle/run_stages.py WORK [--minutes 45] [--piece 100] [--one]

Stage after stage (stages.py), each in pieces of at most --piece minutes. What is done is not done again; a piece that was stopped, in
whatever way, goes on where it last kept its state. WORK/log.jsonl says of every piece what ran, at which commit, how long, how it ended.
"""

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from resume_point import UNFINISHED
from stages import FULL, STAGES, Run, Stage

from ldmcli.runtime.cpu_load import load_now
from ldmcli.runtime.threads import spins, waiting

PIECE = 100.0
"""Minutes."""
MARGIN = 5.0
"""Minutes of a piece in which it starts, keeps its state and ends."""
WATCHED_S = 0.3
"""How long the machine is watched before a script of a stage begins."""
SPEED_BARS = {
    "background colour, 1 of 10": 0.9,
    "counts, 1 of 4": 0.8,
    "colour of the thing, 1 of 7": 0.5,
    "concepts recognised": 0.5,
    "between seeds, mean RMSE": 0.15,
    "PSNR of emoji new to the VAE": 25.0,
}
"""What the run of SPEED_RUN minutes is to pass, by the names of evaluate.py's figures."""


def words_of(command: list[str]) -> list[str]:
    """With the environment's own programs."""
    programs = {"python": [sys.executable], "ldm": [sys.executable, "-m", "ldmcli"]}
    return [*programs[command[0]], *command[1:]]


def limited(stage: Stage, command: list[str], minutes: float) -> list[str]:
    """The command, told to end in time."""
    if stage.is_trainer:
        return [*command, f"--max-hours={max(minutes - MARGIN, 0.1) / 60:.4f}"]
    return [*command, f"--max-minutes={max(minutes - MARGIN, 0.1):.2f}"] if stage.rate else command


def rows_of(log: Path) -> list[dict[str, Any]]:
    """Of a log, as far as they are whole: a kill may have cut the last one."""
    rows = []
    for line in log.read_text(encoding="utf-8").splitlines() if log.is_file() else ():
        with suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def last_step(folder: Path) -> int:
    """Of a run of `ldm`, by its log."""
    return max((row.get("step", 0) for row in rows_of(folder / "log.jsonl")), default=0)


def is_done(stage: Stage, run: Run) -> bool:
    """Whether the run's log says that it has ended and its product is there."""
    rows = rows_of(run.work / "log.jsonl")
    return (run.work / stage.product).exists() and any(row["stage"] == stage.name and row["finished"] for row in rows)


def commit() -> str:
    """Of the code that runs; with a plus where files were changed since."""
    asked = ["git", "describe", "--always", "--abbrev=12", "--dirty=+"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def threads_of(stage: Stage) -> dict[str, str]:
    """Variables that say how long idle threads of a stage's program wait. `ldm` finds that out by itself, unless it is told."""
    if stage.is_trainer or "GOMP_SPINCOUNT" not in (ours := waiting(os.environ)):
        return {}
    before = load_now(time.monotonic())
    time.sleep(WATCHED_S)
    return {**ours, "GOMP_SPINCOUNT": str(spins(before, load_now(time.monotonic())))}


def call(command: list[str], added: Mapping[str, str]) -> int:
    """Its exit code. A SIGTERM goes on to the command, which keeps its state and ends; a Ctrl-C reaches it from the terminal.

    added: to the environment.
    """
    child: subprocess.Popen[bytes] | None = None
    told = False

    def end(*_: object) -> None:
        nonlocal told
        told = True
        if child is not None:
            child.terminate()

    ways = {signal.SIGTERM: end, signal.SIGINT: lambda *_: None}
    before = {number: signal.signal(number, way) for number, way in ways.items()}  # before there is a command that could be left alone
    try:
        with subprocess.Popen(command, env={**os.environ, **added, "PYTHONUNBUFFERED": "1"}) as child:
            if told:
                child.terminate()
            return child.wait()
    finally:
        for number, way in before.items():
            signal.signal(number, way)


def run_piece(stage: Stage, run: Run, minutes: float) -> dict[str, Any]:
    """One piece of a stage, and what the log says of it. What it prints goes on as it comes."""
    steps = run.steps(stage) if stage.rate else 0
    command = limited(stage, words_of(stage.command(run, steps)), minutes)
    began, used, at = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN), commit()
    code = call(command, threads_of(stage))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    finished = code == 0
    if stage.is_trainer and finished:
        finished = last_step((run.work / stage.product).parents[1]) >= steps
    core_minutes = (after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime) / 60
    row = {"stage": stage.name, "commit": at, "steps": steps, "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began))}
    row |= {"minutes": round((time.time() - began) / 60, 2), "core_minutes": round(core_minutes, 2)}
    row |= {"exit_code": code, "finished": finished}
    with (run.work / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({**row, "command": " ".join(stage.command(run, steps))}) + "\n")
    return row


def settle_budget(work: Path, minutes: float) -> None:
    """A work folder belongs to one budget: another would make half a run of each. Ends the program where they differ."""
    kept = work / "budget.json"
    if kept.is_file() and (then := json.loads(kept.read_text())["minutes"]) != minutes:
        sys.exit(f"{work} was begun with --minutes {then:g}: go on with that, or take another folder.")
    work.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({"minutes": minutes}) + "\n")


def bars_missed(figures: list[dict[str, Any]]) -> list[str]:
    """Which of SPEED_BARS are not passed, in words."""
    found = {row["name"]: row["value"] for row in figures}
    return [f"{name}: {found.get(name)} (at least {bar})" for name, bar in SPEED_BARS.items() if not found.get(name, 0) >= bar]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minutes", type=float, default=FULL, help=f"budget, of two cores (default {FULL})")
    parser.add_argument("--piece", type=float, default=PIECE, help="most minutes of one piece")
    parser.add_argument("--one", action="store_true", help="end after one piece that took time")
    args = parser.parse_args()
    run = Run(args.work.expanduser().resolve(), args.minutes)
    settle_budget(run.work, args.minutes)
    for stage in (stage for stage in STAGES if stage.budget(run.minutes)):
        while not is_done(stage, run):
            row = run_piece(stage, run, args.piece)
            print(json.dumps(row), flush=True)
            if row["exit_code"] not in (0, UNFINISHED):
                sys.exit(f"{stage.name} failed with exit code {row['exit_code']}.")
            if args.one and stage.rate:
                return
    if not run.is_full and (missed := bars_missed(json.loads((run.work / "evaluation/figures.json").read_text()))):
        sys.exit("missed: " + "; ".join(missed))


if __name__ == "__main__":
    main()
