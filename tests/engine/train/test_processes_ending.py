"""What ends one of two processes ends both, with the last full step on disk and one voice."""

import os
import signal

import numpy as np
import pytest
from children import ldm_together
from forks import ended
from runs import config_for, events_of, log_of, newest, saved, steps_logged, wait_for

from ldmcli.engine.train.pictures import split
from ldmcli.engine.train.run_log import RunLog
from ldmcli.engine.train.vae_run import VAERun
from ldmcli.errors import LdmError, NotFound
from ldmcli.training.order import SampleOrder

pytestmark = pytest.mark.early
ENDLESS = 1_000_000
NETWORK = {"vae": ["--channels", "8,16", "--perceptual-weight", "0.5"], "unet": ["--channels", "32"]}


def typed(kind, coco, output, *more):
    """Half a batch of `config_for`, without an end."""
    rhythm = [f"--{name}-every={ENDLESS}" for name in ("save", "sample", "val")]
    own = [*NETWORK[kind], "--layers=1", "--batch-size=4", "--held-out=0.1", "--ema=0.9", "--warmup=3", "--size=16", "--device=cpu"]
    steps = [f"--max-steps={ENDLESS}", "--log-every=1"]
    return [f"train-{kind}", "--data", coco, "-o", output, *own, *rhythm, *steps, *more]


@pytest.fixture
def start(tmp_path):
    """Start two processes with these arguments; none outlives the test."""
    everyone = []

    def begin(*programs):
        started = ldm_together(programs, tmp_path)
        everyone.extend(started)
        return started

    yield begin
    for process in everyone:
        process.kill()


def test_a_signal_to_any_process_is_heard_by_all(start, coco, model, tmp_path):
    run, last = tmp_path / "run", 0
    for told in ((0,), (1,), (0, 1)):  # each goes on where the one before was stopped
        last = saved_and_stopped(start, told, run, coco, last)
    done = ended(start(*[typed("vae", coco, run, f"--max-steps={last + 3}", "--resume=auto")] * 2))
    assert [code for code, _, _ in done] == [0, 0], done
    parts = {"batch_size": 4, "grad_accum": 2, "lr_schedule": "constant", "val_every": ENDLESS, "sample_every": ENDLESS}
    list(events_of(config_for("vae", coco, model, tmp_path / "straight", **parts, max_steps=last + 3)))
    assert [row["loss"] for row in log_of(run)] == [row["loss"] for row in log_of(tmp_path / "straight")]


def saved_and_stopped(start, told, run, coco, last):
    """SIGUSR1 to the first of these processes, and SIGTERM to all of them. Returns the step that they stop after."""
    processes = start(*[typed("vae", coco, run, "--resume=auto")] * 2)
    wait_for(lambda: steps_logged(run) >= last + 2, processes[0])
    processes[told[0]].send(signal.SIGUSR1)
    wait_for(lambda: saved(run)[-1:] > [last], processes[0])
    first = saved(run)[-1]
    wait_for(lambda: steps_logged(run) > first + 1, processes[0])
    for number in told:
        processes[number].send(signal.SIGTERM)
    (code, _, talk), (other_code, other_out, other_talk) = ended(processes)
    assert (code, other_code) == (143, 143), (talk, other_talk)
    assert talk.count("error: stopped by SIGTERM after step") == 1 and "--resume auto" in talk
    assert other_out == "" and "error" not in other_talk and "Traceback" not in talk + other_talk
    assert newest(run).step == log_of(run)[-1]["step"] > first  # the last full step
    return newest(run).step


def test_when_a_process_is_killed_the_first_saves_its_last_full_step_and_ends(start, coco, tmp_path):
    run = tmp_path / "run"
    processes = start(*[typed("vae", coco, run)] * 2)
    wait_for(lambda: steps_logged(run) >= 3, processes[0])
    processes[1].kill()
    (code, _, talk), _ = ended(processes)
    assert code == 1 and "error: another process of this run has ended" in talk and "Traceback" not in talk
    assert newest(run).step == log_of(run)[-1]["step"] >= 3


def test_when_the_first_is_killed_the_other_ends(start, coco, tmp_path):
    run = tmp_path / "run"
    processes = start(*[typed("vae", coco, run)] * 2)
    wait_for(lambda: steps_logged(run) >= 3, processes[0])
    processes[0].kill()
    _, (code, out, talk) = ended(processes)
    assert code == 1 and out == "" and "Traceback" not in talk


def test_a_number_that_is_not_finite_in_one_process_stops_both(start, coco, model, tmp_path):
    command = typed("unet", coco, tmp_path / "run", "--vae", model, "--text-encoder", model, "--cache", tmp_path / "cache")
    built = ended(start(*[[*command, "--max-steps=1", "-o", tmp_path / "first"]] * 2))
    assert [code for code, _, _ in built] == [0, 0], built
    (latents,) = (tmp_path / "cache").glob("latents-*")
    means = np.load(latents / "mean.npy", mmap_mode="r+")
    train_rows, _ = split(list(range(24)), seed=0, share=0.1)
    means[train_rows[SampleOrder(22, seed=0).batch(2, 8)[5]]] = np.nan  # the second process sees it, in the third step
    means.flush()
    (code, _, talk), (other_code, _, other_talk) = ended(start(*[command] * 2))
    assert (code, other_code) == (4, 4)
    assert "error: step 3: loss nan" in talk and "error" not in other_talk
    assert [row["step"] for row in log_of(tmp_path / "run")] == [1, 2]


def test_the_time_limit_of_one_is_that_of_all(start, coco, tmp_path):
    run = tmp_path / "run"
    (code, _, talk), (other_code, _, _) = ended(start(typed("vae", coco, run), typed("vae", coco, run, "--max-hours=1e-9")))
    assert (code, other_code) == (0, 0) and newest(run).step == 1
    assert "--max-hours reached after step 1" in talk


@pytest.mark.parametrize(
    ("other", "exit_code", "words"),
    [
        ("--lr=0.5", 2, "error: processes of one run do not agree: lr: 0.001 process 0, 0.5 process 1"),
        ("--data=/nowhere", 6, "error: process 1: --data /nowhere"),
    ],
)
def test_processes_that_do_not_agree_do_not_begin(start, other, exit_code, words, coco, tmp_path):
    run = tmp_path / "run"
    (code, _, talk), (other_code, _, other_talk) = ended(start(typed("vae", coco, run), typed("vae", coco, run, other)))
    assert (code, other_code) == (exit_code, exit_code)
    assert words in talk and talk.count("error: ") == 1
    assert other_talk == "" and not run.exists()


def test_a_checkpoint_that_cannot_be_written_ends_both(start, coco, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "checkpoints").write_text("")
    (code, _, talk), (other_code, _, other_talk) = ended(start(*[typed("vae", coco, run, "--save-every=2")] * 2))
    assert (code, other_code) == (1, 1)
    assert "error: the checkpoint of step 2 could not be written" in talk and other_talk == ""


def test_a_log_that_cannot_be_written_ends_both(start, coco, tmp_path, monkeypatch):
    """Process 0 alone writes it; the other asks meanwhile how all have fared."""

    def write(log, record, figures):
        raise LdmError("no room for the log")

    monkeypatch.setattr(RunLog, "write", write)
    (code, _, talk), (other_code, _, other_talk) = ended(start(*[typed("vae", coco, tmp_path / "run")] * 2))
    assert (code, other_code) == (1, 1) and "error: no room for the log" in talk and other_talk == ""


@pytest.mark.parametrize("number", [0, 1])
def test_what_fails_in_one_process_in_the_middle_of_a_step_ends_both(number, start, coco, tmp_path, monkeypatch):
    """A picture that is gone: the other waits for gradients, and can be told nothing."""
    loss_of = VAERun.loss

    def loss(run, step, part):
        if step == 2 and os.environ["RANK"] == str(number):
            raise NotFound("a picture is gone")
        return loss_of(run, step, part)

    monkeypatch.setattr(VAERun, "loss", loss)
    told = ended(start(*[typed("vae", coco, tmp_path / "run")] * 2))
    assert [code for code, *_ in told] == ([6, 1] if number == 0 else [1, 6]), told
    assert ("error: a picture is gone" if number == 0 else "error: process 1: a picture is gone") in told[number][2]
    if number:
        assert "error: another process of this run has ended" in told[0][2]
    else:
        assert told[1][2] == ""
    assert newest(tmp_path / "run").step == 2  # the last full step
