"""Ten kills of each trainer at random moments, every other one inside a write; a signal before the first step; impatience; a full disk."""

import os
import random
import resource
import signal
import sys
import time

import pytest
import safetensors.torch
from children import fork, ldm, ran_through
from runs import KINDS, argv_for, assert_same_bits, newest

from ldmcli.cli import main

pytestmark = pytest.mark.early

KILLS = 10
WRITES = {"fsync": os, "replace": os, "save_file": safetensors.torch}
"""The calls that a save is made of, and who is asked for them."""


@pytest.fixture(scope="module", params=KINDS)
def straight(request, coco, model, tmp_path_factory):
    """(kind, folder) of 12 steps in one go."""
    return request.param, ran_through(request.param, coco, model, tmp_path_factory.mktemp(request.param), **EACH)


EACH = {"max_steps": 12, "save_every": 1, "keep": 2, "val_every": 100}


def at_call(number, name, act):
    """Let the call of this name and number do something first, in this process and only there."""
    original, calls = getattr(WRITES[name], name), 0

    def wrapped(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == number:
            act()
        return original(*args, **kwargs)

    setattr(WRITES[name], name, wrapped)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_at_random_moments_the_newest_checkpoint_always_loads_and_the_end_is_the_same(straight, coco, model, tmp_path):
    kind, reference = straight
    argv, draw = argv_for(kind, coco, model, tmp_path / "run", resume="auto", **EACH), random.Random(f"kills of {kind}")
    last, inside = 0, 0
    for number in range(KILLS):
        name, call = draw.choice(list(WRITES)), draw.randint(1, 9)  # the first two saves, the files around them too
        in_a_write = number % 2 == 0

        def work(name=name, call=call, in_a_write=in_a_write):
            if in_a_write:
                at_call(call, name, die)
            return main(argv)

        child = fork(work, tmp_path / f"talk-{number}")
        if in_a_write:
            child.wait()
        else:
            child.until(child.said)
            time.sleep(draw.uniform(0.05, 0.4))
            child.send(signal.SIGKILL)
            child.wait()
        assert child.code in (0, -signal.SIGKILL), child.said()
        inside += in_a_write and child.code == -signal.SIGKILL
        if (tmp_path / "run" / "checkpoints").is_dir() and any((tmp_path / "run" / "checkpoints").glob("step-*")):
            found = newest(tmp_path / "run")  # whole, and so are all others
            assert found.step >= last
            last = found.step
            assert all(found.tensors(part) for part in ("network", "ema", "optimizer"))
    assert inside >= 3
    child = ldm(argv, tmp_path / "talk")
    assert child.wait() == 0, child.said()
    assert_same_bits(reference, tmp_path / "run", step=12)
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["step-000011", "step-000012"]  # no rubbish


FULL = [("save_file", 4), ("save_file", 6), ("fsync", 12), ("replace", 10)]
"""The calls that find no room, one in each of the processes that follow each other."""


@pytest.mark.parametrize("straight", ["vae"], indirect=True)
def test_a_disk_that_is_full_at_any_write_is_said_and_costs_nothing_but_time(straight, coco, model, tmp_path):
    _, reference = straight
    argv = argv_for("vae", coco, model, tmp_path / "run", resume="auto", **EACH)

    def full():
        raise OSError(28, "No space left on device")

    for name, call in FULL:

        def work(name=name, call=call):
            at_call(call, name, full)
            return main(argv)

        child = fork(work, tmp_path / "talk")
        assert child.wait() == 1, (name, call, child.said())
        assert "could not be written: No space left on device." in child.said() and "Traceback" not in child.said()
        assert "--resume auto" in child.said()
        assert 1 <= newest(tmp_path / "run").step < 12 and not list((tmp_path / "run" / "checkpoints").glob(".*"))
    assert ldm(argv, tmp_path / "talk").wait() == 0
    assert_same_bits(reference, tmp_path / "run", step=12)


def test_a_disk_that_is_full_while_pictures_are_decoded_is_said(coco, model, tmp_path):
    """An array that is mapped into memory would end the process with a bus error when its page finds no room."""

    def work():
        sys.dont_write_bytecode = True  # else a module that is first imported here would be cached cut short, for all who come after
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        return main(argv_for("vae", coco, model, tmp_path / "run"))

    child = fork(work, tmp_path / "talk")
    assert child.wait() == 1
    assert "or its cache could not be written: File too large." in child.said() and "Traceback" not in child.said()


def test_sigterm_before_the_first_step_ends_with_143_and_what_was_decoded_stays(coco, model, tmp_path):
    child = ldm(argv_for("vae", coco, model, tmp_path / "run", size=512, batch_size=1), tmp_path / "talk")
    child.until(lambda: "training on cpu" in child.said())
    child.send(signal.SIGTERM)
    assert child.wait() == 143 and "Traceback" not in child.said()
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_a_second_ctrl_c_does_not_wait_for_the_step(coco, model, tmp_path):
    slow = {"size": 256, "channels": (32, 64), "batch_size": 8, "held_out": 0.0}  # seconds a step
    child = ldm(argv_for("vae", coco, model, tmp_path / "run", **slow), tmp_path / "talk")
    child.until(lambda: (tmp_path / "run" / "config.toml").is_file())
    while child.running():  # signals that come together count as one, so that two may not be enough
        child.send(signal.SIGINT)
        time.sleep(0.2)
    assert child.code == 130 and "interrupted" in child.said()
    assert not list((tmp_path / "run").glob("checkpoints/step-*")) and not (tmp_path / "run" / "log.jsonl").exists()
