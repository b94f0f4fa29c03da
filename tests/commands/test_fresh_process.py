"""One real `ldm generate` in a process of its own: what it loads, what it opens, what it writes."""

import json
import signal
import sys

import pytest
from forks import fork, program
from running import finished
from tiny import environment

from ldmcli.cli import main

DRIVER = """
import json, sys
opened = []
def watch(event, arguments):
    if event.startswith("socket."):
        opened.append(event)
        raise RuntimeError(f"a socket: {event}")
sys.addaudithook(watch)
import torch
before = set(sys.modules)
from ldmcli.cli import main
code = main(sys.argv[2:])
json.dump({"code": code, "opened": opened, "before": sorted(before), "after": sorted(sys.modules)}, open(sys.argv[1], "w"))
"""

SLOW = (
    "diffusers",
    "transformers",
    "accelerate",
    "torch._dynamo",
    "torch._inductor",
    "sympy",
    "rich",
    "matplotlib",
    "huggingface_hub",
    "pycocotools",
)


def arguments(model, folder):
    return ["generate", "a dog", "-n", "2", "-s", "5", "-m", str(model), "-o", f"{folder}/", "--device", "cpu"]


@pytest.fixture(scope="module")
def watched(model, tmp_path_factory):
    """(folder of pictures, what the driver saw)."""
    folder = tmp_path_factory.mktemp("fresh")
    command = [sys.executable, "-c", DRIVER, str(folder / "seen.json"), *arguments(model, folder / "out")]
    done = finished(command, env=environment())
    assert done.returncode == 0, done.stderr
    return folder / "out", json.loads((folder / "seen.json").read_text()), done


def test_drawing_loads_no_slow_package_beyond_what_torch_itself_does(watched):
    _, seen, _ = watched
    assert seen["code"] == 0
    new = set(seen["after"]) - set(seen["before"])
    assert [name for name in sorted(new) if name.startswith(SLOW)] == []


def test_torch_itself_does_not_load_the_compiler_on_import(watched):
    # If this fails after an upgrade of torch, start-up is seconds slower through no fault of ours.
    _, seen, _ = watched
    assert [name for name in seen["before"] if name.startswith(("torch._dynamo", "sympy"))] == []


def test_drawing_opens_no_socket(watched):
    assert watched[1]["opened"] == []


def test_another_process_draws_the_same_bytes(watched, model, tmp_path, monkeypatch):
    folder, _, _ = watched
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the number of threads is part of the promise, and stands in the picture
    assert main([*arguments(model, tmp_path), "-q"]) == 0
    first, second = sorted(folder.glob("*.png")), sorted(tmp_path.glob("*.png"))
    assert len(first) == 2 and [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_without_a_terminal_there_is_no_bar_and_no_escape_code(watched):
    _, _, done = watched
    assert "\x1b" not in done.stderr and "\r" not in done.stderr and "━" not in done.stderr


def test_ctrl_c_is_exit_130_and_leaves_only_whole_pictures(model, tmp_path):
    out = tmp_path / "out"
    process = fork(program(*arguments(model, out), "-n", "2000", "--batch-size", "1"), tmp_path / "talk", tmp_path / "printed")
    process.until(lambda: process.printed().startswith(f"{out}/00000_seed5.png\n"))
    process.send(signal.SIGINT)
    code, talk = process.wait(), process.said()
    assert code == 130
    assert "error: stopped by SIGINT" in talk and "--resume" in talk and "Traceback" not in talk
    assert {path.suffix for path in out.iterdir()} == {".png", ".jsonl"}
