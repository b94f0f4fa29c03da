"""Two processes that share a U-Net out, and how they end: by a signal, a death, a failure of one, the time limit."""

import json
import os
import signal

import pytest
import torch.distributed.fsdp  # noqa: F401  # for the forks
from forks import ended, together
from runs import log_of, newest, saved, steps_logged, wait_for
from two_processes import typed

from ldmcli.cli import main
from ldmcli.engine.train.unet_run import UNetRun
from ldmcli.errors import NotFound

pytestmark = pytest.mark.early

ENDLESS = {"max_steps": 1_000_000, "save_every": 1_000_000, "sample_every": 1_000_000, "val_every": 1_000_000}


def test_signals_stop_and_save_and_a_death_ends_all(coco, model, tmp_path, cache, fsdp):
    run = tmp_path / "run"
    words = typed("unet", coco, model, run, **ENDLESS, cache=cache, resume="auto", batch_size=4)

    def start():
        return together([lambda: main([str(word) for word in words])] * 2, tmp_path)

    first, other = processes = start()
    try:
        wait_for(lambda: steps_logged(run) >= 1, first)
        other.send(signal.SIGUSR1)
        wait_for(lambda: saved(run), first)
        other.send(signal.SIGTERM)
        (code, _, talk), (other_code, _, other_talk) = ended(processes)
        assert (code, other_code) == (143, 143), (talk, other_talk)
        assert "error: stopped by SIGTERM after step" in talk and "Traceback" not in talk + other_talk
        last = newest(run).step
        assert last == log_of(run)[-1]["step"]
        first, other = processes = start()
        wait_for(lambda: steps_logged(run) > last, first)
        other.kill()
        (code, _, talk), _ = ended(processes)
        assert code == 1 and "error: another process of this run has ended" in talk and "Traceback" not in talk
        assert newest(run).step == last  # of later steps a part is lost
    finally:
        for process in processes:
            process.kill()


def test_what_fails_in_the_first_process_alone_ends_both(coco, model, tmp_path, cache, fsdp):
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoints").write_text("")
    words = typed("unet", coco, model, run, **{**ENDLESS, "cache": cache, "save_every": 1}, batch_size=4)
    (code, _, talk), (other_code, _, other_talk) = ended(together([lambda: main([str(word) for word in words])] * 2, tmp_path))
    assert (code, other_code) == (1, 1)
    assert "error: the checkpoint of step 1 could not be written" in talk and other_talk == ""


def test_after_the_time_limit_the_figures_are_those_of_its_last_step(coco, model, tmp_path, cache, fsdp):
    """Neither a checkpoint nor a validation was due."""
    words = typed("unet", coco, model, tmp_path / "run", **ENDLESS, cache=cache, batch_size=4, max_hours=1e-9, json=True)
    (code, said, talk), (other_code, *_) = ended(together([lambda: main([str(word) for word in words])] * 2, tmp_path))
    assert (code, other_code) == (0, 0), talk
    assert json.loads(said)["step"] == newest(tmp_path / "run").step == 1 and "val_loss" in said


def test_what_fails_in_one_process_in_the_middle_of_a_step_ends_both(coco, model, tmp_path, cache, fsdp, monkeypatch):
    """The other waits for a part of the network."""
    loss_of = UNetRun.loss

    def loss(run, step, part):
        if os.environ["RANK"] == "1":
            raise NotFound("a picture is gone")
        return loss_of(run, step, part)

    monkeypatch.setattr(UNetRun, "loss", loss)
    words = typed("unet", coco, model, tmp_path / "run", **ENDLESS, cache=cache, batch_size=4)
    (code, _, talk), (other_code, _, other_talk) = ended(together([lambda: main([str(word) for word in words])] * 2, tmp_path))
    assert (code, other_code) == (1, 6) and "error: process 1: a picture is gone" in other_talk
    assert "error: another process of this run has ended" in talk and "Traceback" not in talk + other_talk
