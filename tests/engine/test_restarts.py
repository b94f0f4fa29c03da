"""torchrun --max-restarts: one process is killed, torchrun ends the others and starts all anew with the same words."""

import json
import os
import signal

import pytest
from children import ldm_together
from forks import ended
from launch import by_agent, by_launcher
from outputs import pictures, rows_of
from runs import argv_for, config_for, events_of, log_of, newest, saved, wait_for
from torch import equal

from ldmcli.cli import main
from ldmcli.runtime import team

HALF = {"batch_size": 4, "val_every": 100, "lr_schedule": "constant", "max_steps": 9, "save_every": 2}


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A process that was killed is missed sooner."""
    monkeypatch.setattr(team, "LOST_S", 5.0)


def started_twice(words, stumbles, folder):
    """Two processes; once `stumbles` is true, process 1 is killed, and torchrun ends the other. Returns how the next two end."""
    store, variables = by_agent(2)
    first, other = started = ldm_together([words] * 2, folder, variables)
    try:
        wait_for(stumbles, first)
        other.send(signal.SIGKILL)
        first.send(signal.SIGTERM)
        codes = {code for code, *_ in ended(started)}
        assert codes <= {-signal.SIGKILL, 143, 1, 0} and codes != {0}  # 0: one was quicker
    finally:
        for process in started:
            process.kill()
    variables[1]["TORCHELASTIC_RESTART_COUNT"] = "1"  # each machine counts what failed there alone; the store is the same
    told = ended(ldm_together([words] * 2, folder, variables))
    assert [code for code, *_ in told] == [0, 0], told
    del store
    return told


@pytest.fixture(scope="module")
def straight(coco, model, tmp_path_factory):
    """A run without any accident; two processes go through the same bits."""
    run = tmp_path_factory.mktemp("straight") / "run"
    list(events_of(config_for("vae", coco, model, run, **HALF, grad_accum=2)))
    return run


def assert_goes_through_the_same_bits(run, straight):
    assert [row["loss"] for row in log_of(run)] == [row["loss"] for row in log_of(straight)]
    for name in ("network", "ema", "optimizer"):
        here, there = newest(run).tensors(name), newest(straight).tensors(name)
        assert here.keys() == there.keys() and all(equal(here[key], there[key]) for key in here), name


def test_training_goes_on_from_the_last_checkpoint_and_ends_as_the_straight_run(straight, coco, model, tmp_path):
    run = tmp_path / "run"
    told = started_twice(argv_for("vae", coco, model, run, **HALF), lambda: saved(run), tmp_path)
    assert "resumed step-" in told[0][2] and told[1][1] == ""
    assert_goes_through_the_same_bits(run, straight)


def test_a_run_that_began_from_a_checkpoint_of_another_goes_on_from_its_own(straight, coco, model, tmp_path):
    run, begun = tmp_path / "run", straight / "checkpoints" / "step-000008"
    words = [*argv_for("vae", coco, model, run, **{**HALF, "max_steps": 14}), "--grad-accum", "1", "--resume", str(begun)]
    told = started_twice(words, lambda: saved(run), tmp_path)
    assert "resumed step-" in told[0][2] and "resumed step-000008" not in told[0][2]
    assert newest(run).step == 14


@pytest.mark.slow
def test_torchrun_itself_starts_a_training_run_anew(straight, coco, model, tmp_path):
    run = tmp_path / "run"
    path = os.pathsep.join([os.path.dirname(__file__) + "/..", *filter(None, [os.environ.get("PYTHONPATH")])])
    words, at = argv_for("vae", coco, model, run, **HALF), f"{run}/checkpoints/step-*2"
    done = by_launcher("torchrun", *words, module="stumbling", restarts=1, PYTHONPATH=path, STUMBLES_AT=at)
    assert done.returncode == 0 and "resumed step-" in done.stderr, done.stderr
    assert_goes_through_the_same_bits(run, straight)


def test_drawing_goes_on_with_what_is_there(model, tmp_path):
    """No seed is named: the one that was drawn stays."""
    words = ["generate", *(word for i in range(6) for word in ("-p", f"dog {i}")), "-n", "5", "--steps", "2", "--batch-size", "2"]
    words += ["-m", str(model), "--device", "cpu", "--json", "-o"]
    out = tmp_path / "out"
    told = started_twice([*words, f"{out}/"], lambda: len(list(out.glob("*.png"))) >= 4, tmp_path)
    body = json.loads(told[0][1])
    assert len(body["images"]) == 30 and told[1][1:] == ("", "")
    seed = body["images"][0]["seed"]
    assert main([*words, f"{tmp_path}/whole/", "-s", str(seed)]) == 0
    assert pictures(out) == pictures(tmp_path / "whole")
    assert len({row["number"] for row in rows_of(out) if row.get("status") == "ok"}) == 30


def test_a_comparison_begins_again_where_it_wrote(model, clip, tmp_path):
    words = ["compare-schedulers", "a dog", "-m", str(model), "--device", "cpu", "-s", "3", "--cfg", "2", "--steps", "3,4"]
    words += ["--reference-steps", "12", "--clip-model", str(clip), "--seeds", "4", "--schedulers", "ddim,heun,euler", "--json", "-o"]
    out = tmp_path / "out"
    told = started_twice([*words, str(out)], lambda: list(out.rglob("images/*/*.png")), tmp_path)
    assert len(json.loads(told[0][1])["rows"]) == 6
