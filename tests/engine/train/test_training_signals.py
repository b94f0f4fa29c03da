"""Signals to a training process of its own, which begins as a fork: tests/scripts/test_slurm.py has fresh ones."""

import signal

import pytest
from children import ldm as ldm_process
from runs import config_for, events_of, log_of, newest, saved, steps_logged, wait_for

from ldmcli.engine.train import listing
from ldmcli.records.training import TrainDone

ENDLESS = 1_000_000


@pytest.fixture
def trainer(coco, model, tmp_path):
    """Start `ldm train-vae` without an end; gone when the test is over."""
    started = []

    def start(*extra):
        command = ["train-vae", "--data", str(coco), "-o", str(tmp_path / "run"), "--size", "16"]
        network = ["--channels", "8,16", "--layers", "1", "--batch-size", "8", "--held-out", "0.1", "--ema", "0.9", "--warmup", "3"]
        rhythm = ["--log-every", "1", "--sample-every", str(ENDLESS), "--val-every", str(ENDLESS), "--max-steps", str(ENDLESS)]
        tail = ["--device", "cpu", "--perceptual-weight", "0.5", *extra]
        process = ldm_process([*command, *network, *rhythm, *tail], tmp_path / "talk")
        started.append(process)
        return process, tmp_path / "run"

    yield start
    for process in started:
        process.kill()


def resumed(coco, model, run, steps):
    """Go on in this process for a few steps."""
    step = newest(run).step + steps
    changes = {"resume": "auto", "max_steps": step, "lr_schedule": "constant", "sample_every": 1000, "val_every": 1000}
    return list(events_of(config_for("vae", coco, model, run, **changes)))[-1], step


def test_sigusr1_saves_and_goes_on_and_sigterm_saves_and_ends_with_143(trainer, coco, model):
    process, run = trainer("--save-every", str(ENDLESS))
    wait_for(lambda: steps_logged(run) >= 2, process)
    process.send(signal.SIGUSR1)
    wait_for(lambda: saved(run), process)
    (first,) = saved(run)
    wait_for(lambda: steps_logged(run) > first + 2, process)
    process.send(signal.SIGTERM)
    assert process.wait() == 143
    talk = process.said()
    assert "error: stopped by SIGTERM after step" in talk and "--resume auto" in talk and "Traceback" not in talk
    last = newest(run).step
    assert last == log_of(run)[-1]["step"] > first  # the last full step
    done, expected = resumed(coco, model, run, 3)
    assert isinstance(done, TrainDone) and done.step == expected
    assert [row["step"] for row in log_of(run)] == list(range(1, last + 4))


def test_after_kill_9_the_newest_checkpoint_is_whole_and_the_run_goes_on(trainer, coco, model):
    process, run = trainer("--save-every", "1", "--keep", "2")  # it is nearly always in the middle of a save
    wait_for(lambda: saved(run) and saved(run)[-1] >= 6, process)
    process.kill()
    assert process.code == -signal.SIGKILL
    done, expected = resumed(coco, model, run, 2)
    assert done.step == expected
    assert [row["step"] for row in log_of(run)] == list(range(1, expected + 1))


def test_sigusr1_while_the_data_is_listed_ends_nothing(trainer, monkeypatch):
    """Listed before the run listens, where a signal that nobody hears would end the process."""
    original = listing.captioned

    def captioned(config):
        signal.raise_signal(signal.SIGUSR1)
        return original(config)

    monkeypatch.setattr(listing, "captioned", captioned)
    process, run = trainer()
    wait_for(lambda: steps_logged(run) >= 1, process)
    assert process.running(), process.said()
