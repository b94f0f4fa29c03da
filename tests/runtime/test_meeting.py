"""Processes that find each other, and what they say of one that failed before, or never came."""

import os
import signal
import time

import pytest
import torch
from accelerate import PartialState  # noqa: F401  # once, and not in every fork
from forks import UNFORESEEN, ended, together
from launch import by_agent, rendezvous

from ldmcli.cli import main
from ldmcli.errors import LdmError, ToldElsewhere
from ldmcli.runtime import meeting
from ldmcli.runtime.meeting import meet, tell_failure
from ldmcli.runtime.processes import join_processes

ELSEWHERE = 40
"""Added to the exit code of one that was told that another one speaks."""


MISSED_S = 1.5
"""Where one never comes. The others come well within it, also on a busy machine."""


@pytest.fixture
def impatient(monkeypatch):
    """Who does not come is missed sooner."""
    monkeypatch.setattr(meeting, "MISSED_S", MISSED_S)
    monkeypatch.setattr(meeting, "ANSWER_S", MISSED_S)


def saying(work):
    """`work` as a process: prints what ends it."""

    def process():
        try:
            work()
        except ToldElsewhere as error:
            return ELSEWHERE + error.exit_code
        except LdmError as error:
            print(error.message)
            return error.exit_code
        return 0

    return process


def come():
    store, _ = meet()
    if os.environ["RANK"] == "0":
        store.set("word", "yes")
        while not store.check(["read/1"]):
            time.sleep(0.01)
    else:
        assert store.get("word") == b"yes"
        store.set(f"read/{os.environ['RANK']}", b"")


def train():
    with join_processes(torch.device("cpu")) as processes:
        assert processes.gather(processes.index) == [0, 1]


def never_come():
    os._exit(UNFORESEEN)


def fail():
    tell_failure("no such thing.", "Try another.", 6)
    os._exit(6)


def come_and_be_killed():
    def answer_once(store, token, pause):
        while not store.check([f"call/{token}"]):
            time.sleep(pause)
        store.set(f"{store.get(f'call/{token}').decode()}/{token}", b"")
        os.kill(os.getpid(), signal.SIGKILL)

    meeting._follow = answer_once
    come()


def come_late():
    time.sleep(0.3)
    come()


def assert_told(works, ends, tmp_path):
    """ends: for each (exit code, how what it prints begins), or None where it does not matter."""
    told = ended(together([saying(work) for work in works], tmp_path), 30)
    for (code, out, err), end in zip(told, ends, strict=True):
        assert end is None or (code, out.startswith(end[1]), bool(out)) == (end[0], True, bool(end[1])), told
        assert err == "", told


@pytest.mark.parametrize(
    ("works", "ends"),
    [
        ([come, come_late], [(0, ""), (0, "")]),
        ([train, train], [(0, ""), (0, "")]),
        ([come, fail, come], [(6, "process 1: no such thing.\n"), (6, ""), (ELSEWHERE + 6, "")]),
        ([fail, come, come], [(6, ""), (ELSEWHERE + 6, ""), (ELSEWHERE + 6, "")]),
        ([train, fail], [(6, "process 1: no such thing.\n"), (6, "")]),
        ([fail, fail], [(6, ""), (6, "")]),
    ],
    ids=["all come", "to train", "one fails", "the first fails", "one fails to train", "all fail"],
)  # fmt: skip
def test_who_fails_before_is_named_at_once(works, ends, tmp_path):
    begun = time.monotonic()
    assert_told(works, ends, tmp_path)
    assert time.monotonic() - begun < meeting.ANSWER_S  # nobody waited in vain


@pytest.mark.parametrize(
    ("works", "ends"),
    [
        ([come, never_come, come], [(1, f"process 1 of 3 did not come in the last {MISSED_S} seconds.\n"), None, (ELSEWHERE + 1, "")]),
        ([train, never_come], [(1, f"process 1 of 2 did not come in the last {MISSED_S} seconds.\n"), None]),
        ([never_come, come], [None, (1, "process 0 of 2 does not answer at 127.0.0.1:")]),
        ([come, come_and_be_killed, come_late], [(1, "process 1 of 3 ended before all were there.\n"), None, (ELSEWHERE + 1, "")]),
    ],
    ids=["one", "to train", "the first", "one is killed while it waits"],
)  # fmt: skip
@pytest.mark.usefixtures("impatient")
def test_who_does_not_come_is_named(works, ends, tmp_path):
    assert_told(works, ends, tmp_path)


@pytest.mark.parametrize("bad", [0, 1])
@pytest.mark.parametrize("command", ["generate", "train-vae"])
def test_an_option_that_one_alone_cannot_read(command, bad, tmp_path):
    good = {"generate": ["generate", "a dog"], "train-vae": ["train-vae", "--data", str(tmp_path / "pictures")]}[command]
    commands = [[*good, "-o", str(tmp_path / "out"), *(["--size", "x"] if number == bad else [])] for number in range(2)]
    told = ended(together([lambda argv=argv: main(argv) for argv in commands], tmp_path), 30)
    assert [code for code, *_ in told] == [2, 2], told
    if bad:
        assert "error: process 1: " in told[0][2] and "--size" in told[0][2]
    else:
        assert told[1][1:] == ("", "")


def test_they_meet_in_the_store_of_torchrun(tmp_path):
    store, variables = by_agent(2)
    told = ended(together([saying(come), saying(come_late)], tmp_path, variables), 30)
    assert [code for code, *_ in told] == [0, 0], told
    del store


@pytest.mark.usefixtures("impatient")
def test_there_too_the_first_may_never_come(tmp_path):
    store, variables = by_agent(2)
    told = ended(together([never_come, saying(come)], tmp_path, variables), 30)
    assert told[1] == (1, f"process 0 of 2 did not come, or has ended, in the last {MISSED_S} seconds.\n", ""), told
    del store


def test_torchrun_ends_the_others_itself(tmp_path):
    store, variables = by_agent(2)
    began = time.monotonic()
    told = ended(together([saying(fail)], tmp_path, variables[1:]), 30)
    assert told[0][0] == 6 and time.monotonic() - began < 5
    assert not store.check(["ldm/here/1"])


@pytest.mark.parametrize(("name", "text"), [("MASTER_ADDR", ""), ("MASTER_PORT", "here"), ("MASTER_PORT", "99999")])
def test_variables_that_lead_nowhere_are_named(monkeypatch, name, text):
    for variable, value in {**rendezvous(2, 1), "RANK": "0", name: text}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(meeting, "_begun", False)
    if not text:
        monkeypatch.delenv(name)
    with pytest.raises(LdmError, match=name):
        meet()
