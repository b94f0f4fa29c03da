"""A batch that was ended half-way by a signal is completed by --resume: the same files, nothing drawn twice."""

import signal
import sys

import pytest
from outputs import pictures, rows_of, stamps
from running import Running
from tiny import environment

BATCH = 4

LINES = [
    *(f'{{"prompt": "a dog {i}"}}' for i in range(8)),
    '{"prompt": "a broken line"',
    *(f'{{"prompt": "a cat {i}", "scheduler": "euler-a", "seed": {100 + i}}}' for i in range(7)),
    '{"prompt": "a cat", "steps": 0}',
    *(f"a bird {i}" for i in range(6)),
    '{"prompt": "a cat", "colour": "red"}',
]
"""24 lines, of which 21 can be drawn: 14 with one scheduler (batches of 4, 4, 4, 2), 7 with another (4, 3)."""


@pytest.fixture
def prompts(tmp_path):
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(line + "\n" for line in LINES))
    return ["-f", str(file), "--steps", "24", "--batch-size", str(BATCH), "-q"]


@pytest.fixture
def started(model):
    """Start a `generate` process that prints the path of each picture; gone when the test is over."""
    processes = []

    def start(*argv):
        command = [sys.executable, "-m", "ldmcli", "generate", *map(str, argv), "-m", str(model), "--device", "cpu"]
        process = Running(command, env=environment())
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.__exit__()


def after(process, count):
    """Wait until so many pictures are there."""
    process.until(lambda: process.said()[0].count("\n") >= count)
    assert process.poll() is None, process.said()


def test_after_kill_9_half_way_resume_makes_the_files_of_a_run_that_was_not_killed(started, generate, prompts, tmp_path, evaluations):
    out, whole = tmp_path / "out", tmp_path / "whole"
    process = started(*prompts, "-s", "5", "-o", f"{out}/")
    after(process, 2 * BATCH + 1)
    process.kill()
    process.wait()
    recorded = {row["path"] for row in rows_of(out) if row.get("status") == "ok"}
    before = stamps(out)
    assert 2 * BATCH < len(recorded) < 21

    code, printed, err = generate(*prompts, "-s", "5", "-o", f"{out}/", "--resume")
    assert code == 3 and "Traceback" not in err
    unfinished = sum(not set(names) <= recorded for names in cut(out))
    assert len(evaluations) == 24 * unfinished
    assert {name: stamp for name, stamp in stamps(out).items() if name in before} == before
    assert sorted(printed.split()) == sorted(str(path) for path in out.glob("*.png"))

    assert generate(*prompts, "-s", "5", "-o", f"{whole}/")[0] == 3
    assert len(pictures(out)) == 21 and pictures(out) == pictures(whole)

    evaluations.clear()
    code, printed, _ = generate(*prompts, "-s", "5", "-o", f"{out}/", "--resume")
    assert code == 3 and len(printed.split()) == 21 and evaluations == []


def cut(folder):
    """The file names of every batch."""
    rows = {row["number"]: row for row in rows_of(folder) if row.get("status") == "ok"}
    ordered = [rows[number] for number in sorted(rows)]
    groups = [[row["path"] for row in ordered if (row["scheduler"] == "euler-a") is second] for second in (False, True)]
    return [group[i : i + BATCH] for group in groups for i in range(0, len(group), BATCH)]


def test_sigterm_is_143_keeps_what_is_finished_and_resume_completes_it(started, generate, prompts, tmp_path):
    out, whole = tmp_path / "out", tmp_path / "whole"
    process = started(*prompts, "-s", "5", "-o", f"{out}/")
    after(process, 1)
    process.send_signal(signal.SIGTERM)
    code, _, talk = process.ended()
    assert code == 143
    assert "error: stopped by SIGTERM" in talk and "of 21 pictures are finished" in talk and "--resume" in talk and "Traceback" not in talk
    there = pictures(out)
    assert BATCH <= len(there) < 21 and {row["path"] for row in rows_of(out) if row.get("status") == "ok"} == set(there)
    assert not list(out.glob(".*"))
    assert generate(*prompts, "-s", "5", "-o", f"{out}/", "--resume")[0] == 3
    assert generate(*prompts, "-s", "5", "-o", f"{whole}/")[0] == 3
    assert pictures(out) == pictures(whole) and len(pictures(out)) == 21
