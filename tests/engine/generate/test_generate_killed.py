"""A batch that was ended half-way by a signal is completed by --resume: the same files, nothing drawn twice."""

import signal

import pytest
from forks import fork
from outputs import pictures, rows_of, stamps

from ldmcli.cli import main

BATCH, STEPS = 4, 8

LINES = [
    *(f'{{"prompt": "a dog {i}"}}' for i in range(8)),
    '{"prompt": "a broken line"',
    *(f'{{"prompt": "a cat {i}", "scheduler": "euler-a", "seed": {100 + i}}}' for i in range(7)),
    '{"prompt": "a cat", "steps": 0}',
    *(f"a bird {i}" for i in range(6)),
    '{"prompt": "a cat", "colour": "red"}',
]
"""24 lines, of which 21 can be drawn: 14 with one scheduler (batches of 4, 4, 4, 2), 7 with another (4, 3)."""


@pytest.fixture(scope="module")
def command(model, tmp_path_factory):
    """The arguments but for the folder."""
    file = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    file.write_text("".join(line + "\n" for line in LINES))
    drawing = ["generate", "-f", str(file), "--steps", str(STEPS), "--batch-size", str(BATCH), "-s", "5", "-q"]
    return [*drawing, "-m", str(model), "--device", "cpu", "-o"]


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory):
    """The folder of a run that was not disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    assert main([*command, f"{folder}/"]) == 3
    return folder


@pytest.fixture
def started(command, whole, tmp_path):
    """Start the command, all of which is imported by now, as a process that prints the path of each picture; gone when the test is over."""
    process = fork(lambda: main([*command, f"{tmp_path}/out/"]), tmp_path / "talk", tmp_path / "printed")
    yield process
    process.kill()


def after(process, count):
    """Wait until so many pictures are there."""
    process.until(lambda: process.printed().count("\n") >= count)
    assert process.code is None, process.said()


def test_after_kill_9_half_way_resume_makes_the_files_of_a_run_that_was_not_killed(started, command, whole, ldm, tmp_path, evaluations):
    out, again = tmp_path / "out", [*command, f"{tmp_path}/out/", "--resume"]
    after(started, 2 * BATCH + 1)
    started.kill()
    recorded = {row["path"] for row in rows_of(out) if row.get("status") == "ok"}
    before = stamps(out)
    assert 2 * BATCH < len(recorded) < 21

    code, printed, err = ldm(*again)
    assert code == 3 and "Traceback" not in err
    unfinished = sum(not set(names) <= recorded for names in cut(out))
    assert len(evaluations) == STEPS * unfinished
    assert {name: stamp for name, stamp in stamps(out).items() if name in before} == before
    assert sorted(printed.split()) == sorted(str(path) for path in out.glob("*.png"))
    assert len(pictures(out)) == 21 and pictures(out) == pictures(whole)

    evaluations.clear()
    code, printed, _ = ldm(*again)
    assert code == 3 and len(printed.split()) == 21 and evaluations == []


def cut(folder):
    """The file names of every batch."""
    rows = {row["number"]: row for row in rows_of(folder) if row.get("status") == "ok"}
    ordered = [rows[number] for number in sorted(rows)]
    groups = [[row["path"] for row in ordered if (row["scheduler"] == "euler-a") is second] for second in (False, True)]
    return [group[i : i + BATCH] for group in groups for i in range(0, len(group), BATCH)]


def test_sigterm_is_143_keeps_what_is_finished_and_resume_completes_it(started, command, whole, ldm, tmp_path):
    out = tmp_path / "out"
    after(started, 1)
    started.send(signal.SIGTERM)
    assert started.wait() == 143
    talk = started.said()
    assert "error: stopped by SIGTERM" in talk and "of 21 pictures are finished" in talk and "--resume" in talk and "Traceback" not in talk
    there = pictures(out)
    assert BATCH <= len(there) < 21 and {row["path"] for row in rows_of(out) if row.get("status") == "ok"} == set(there)
    assert not list(out.glob(".*"))
    assert ldm(*command, f"{out}/", "--resume")[0] == 3
    assert pictures(out) == pictures(whole) and len(pictures(out)) == 21
