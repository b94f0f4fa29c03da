"""What a shell does to a command: streams that are closed, full or left, encodings, signals, folders that vanish."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from forks import fork, program
from PIL import Image
from running import Running
from tiny import environment

import ldmcli.engine.bench.run
import ldmcli.engine.compare.run
import ldmcli.engine.generate.run  # noqa: F401  # like the two before it, for the forks
from ldmcli.runtime import signals as ending_signals

pytestmark = pytest.mark.early

DEADLINE_S = 120
"""For a process on a machine with much else to do."""


def in_shell(line, *arguments, **variables):
    """Run a line of bash in which "$@" is `ldm ARGUMENTS`."""
    command = ["bash", "-c", f"set -o pipefail; {line}", "bash", sys.executable, "-m", "ldmcli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**environment(), **variables}, timeout=DEADLINE_S)


FULL = "error: standard output could not be written: No space left on device.\n"


def onto_full(number):
    """What is written there fails."""
    os.dup2(os.open("/dev/full", os.O_WRONLY), number)


def leave():
    """The reader of stdout is gone."""
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    os.close(writer)
    os.close(reader)


def leave_after_a_line():
    """`| head -1`."""
    reader, writer = os.pipe()
    os.dup2(writer, 1)
    os.close(writer)

    def read():
        with open(reader) as lines:
            lines.readline()

    threading.Thread(target=read, daemon=True).start()


STREAMS = {  # what becomes of them, exit code, does stdout hold a path, what stderr ends with
    "a full device": (lambda: onto_full(1), 1, False, FULL),
    "a full device for talk": (lambda: onto_full(2), 0, True, ""),
    "closed stderr": (lambda: os.close(2), 0, True, ""),
    "a reader that left": (leave, 0, False, ""),
    "a reader of one line": (leave_after_a_line, 0, False, ""),
    "an encoding without the characters": (lambda: sys.stdout.reconfigure(encoding="cp1252"), 0, True, ""),
}


@pytest.fixture
def drawing(model, tmp_path):
    """Three pictures, one after the other, with a prompt in letters that not every encoding has."""
    drawn = ("generate", "\u6f22\u5b57", "-n", 3, "--batch-size", 1, "--steps", 2, "-s", 1, "-m", model, "--device", "cpu")
    return (*drawn, "-o", f"{tmp_path}/{{prompt}}.png")


@pytest.mark.parametrize("what", STREAMS)
def test_whatever_becomes_of_the_streams_all_pictures_are_written(what, drawing, tmp_path):
    change, code, told, last = STREAMS[what]
    process = fork(lambda: change() or program(*drawing)(), tmp_path / "talk", tmp_path / "out")
    assert process.wait() == code, process.said()
    assert len(list(tmp_path.glob("*.png"))) == 3
    assert "Traceback" not in process.said() and process.said().endswith(last)
    assert bool(process.printed()) is told
    if "encoding" in what:
        assert "\\u6f22\\u5b57.png" in process.printed()


def test_a_shell_that_opens_no_stream_gets_all_pictures(drawing, tmp_path):
    done = in_shell('"$@" >&- 2>&- <&-', *drawing)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(list(tmp_path.glob("*.png"))) == 3


def test_help_into_a_full_device_is_told_in_one_line():
    done = in_shell('"$@" >/dev/full', "--help")
    assert (done.returncode, done.stderr) == (1, FULL)


def test_a_working_directory_that_is_gone_is_told_in_one_line(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    done = in_shell(f'cd "{gone}"; rmdir "{gone}"; "$@"', "generate", "a dog", PYTHONPATH=os.getcwd())
    assert done.returncode == 6 and done.stdout == ""
    assert done.stderr.startswith("error: the working directory is gone.\n") and done.stderr.count("\n") == 2


LARGE = ("-W", 2048, "-H", 2048, "--steps", 20)
"""A call of the U-Net's attention at this size takes much longer than a signal may."""

INSIDE_A_STEP = {  # arguments, the last words before the network runs, signals, exit code
    "Ctrl-C": (("generate", "a dog", *LARGE), "in tiles", [signal.SIGINT], 130),
    "SIGTERM": (("generate", "a dog", *LARGE), "in tiles", [signal.SIGTERM], 143),
    "SIGHUP": (("generate", "a dog", *LARGE), "in tiles", [signal.SIGHUP], 143),
    "SIGTERM twice": (("generate", "a dog", *LARGE), "in tiles", [signal.SIGTERM] * 2, 143),
    "bench": (("bench", "--size", "2048", "--steps", 20), "far beyond", [signal.SIGINT], 130),
    "compare-schedulers": (("compare-schedulers", "a dog", "-W", 2048, "-H", 2048, "--clip-model", "none"), "far beyond",
                           [signal.SIGTERM], 143),
    "clipscore": (("clipscore", "--clip-model", "bundled"), "scorer bundled", [signal.SIGTERM], 143),
}  # fmt: skip


def many_large_pictures(folder):
    """One picture under 400 names, each with its caption: to read them all takes much longer than a signal may."""
    folder.mkdir()
    Image.effect_noise((2500, 2500), 40).convert("RGB").save(folder / "0.jpg")
    for number in range(1, 400):
        os.link(folder / "0.jpg", folder / f"{number}.jpg")
    (folder / "captions.jsonl").write_text("".join(f'{{"file_name": "{number}.jpg", "caption": "a dog"}}\n' for number in range(400)))
    return folder


@pytest.mark.parametrize("what", INSIDE_A_STEP)
def test_a_signal_inside_a_step_ends_the_process_within_2_seconds(what, model, tmp_path, monkeypatch):
    arguments, words, signals, code = INSIDE_A_STEP[what]
    if signals[0] != signal.SIGTERM or arguments[0] != "generate":  # SIGTERM has what users have, the others take the same way
        monkeypatch.setattr(ending_signals, "GRACE_S", 0.2)
    if arguments[0] == "clipscore":
        pictures = many_large_pictures(tmp_path / "pictures")
        arguments = ("clipscore", pictures, "--captions", pictures / "captions.jsonl", *arguments[1:])
    elif arguments[0] != "bench":
        arguments += ("-m", model, "-o", f"{tmp_path}/out/")
    else:
        arguments += ("-m", model)
    process = fork(program(*arguments, "--device", "cpu"), tmp_path / "talk")
    process.until(lambda: words in process.said())
    assert process.running(), process.said()
    time.sleep(0.2)  # well into the step; where that is late, the signal comes before it, which is no harm
    for number in signals:
        process.send(number)
        time.sleep(0.4 * (len(signals) - 1))
    began = time.monotonic()
    found, talk = process.wait(), process.said()
    seconds = time.monotonic() - began
    assert found == code and "error: " in talk and "Traceback" not in talk
    assert seconds < 3, "2 s, and one for a busy machine"
    if len(signals) > 1:
        assert seconds < 1.2
    assert not list(tmp_path.rglob(".ldm-*"))


@pytest.mark.parametrize("limit", [60_000, 300_000, 700_000])
def test_too_little_memory_to_load_what_computes_is_told_in_one_line(limit, tmp_path):
    for arguments, code in (
        (("generate", "a dog", "-o", f"{tmp_path}/x.png"), 5),
        (("clipscore", tmp_path), 5),
        (("generate", "--help"), 0),
    ):
        done = in_shell(f'ulimit -v {limit}; "$@"', *arguments)
        assert done.returncode == code, done.stderr
        assert not code or (done.stderr.startswith("error: out of memory: ulimit -v allows ") and done.stderr.count("\n") == 2)


@pytest.mark.parametrize("nohup", [False, True])
def test_a_lost_terminal_is_heard_from_the_first_line_on_unless_it_is_ignored(nohup, tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", "ldmcli", "help", "prompts"]
    with Running(["nohup", *command] if nohup else command, env=environment()) as process:
        process.until(lambda: "ldmcli.console.streams" in process.said()[1])
        process.send_signal(signal.SIGHUP)
        code, _, talk = process.ended()
    assert code == (0 if nohup else 143) and "Traceback" not in talk


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["ldmcli.console.streams", "ldmcli.errors", "ldmcli.cli"])
def test_a_signal_while_modules_are_imported_has_its_code_and_no_traceback(module, number):
    with Running([sys.executable, "-X", "importtime", "-m", "ldmcli", "generate", "a dog"], env=environment()) as process:
        process.until(lambda: module in process.said()[1])
        process.send_signal(number)
        code, _, talk = process.ended()
    assert code == 128 + number and "Traceback" not in talk
