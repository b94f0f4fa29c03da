"""A run is killed, stopped and starved in processes of its own, and ends with the bits of one that ran through."""

import signal
import time

import pytest
from children import killed_at, ldm, ran_through
from runs import KINDS, argv_for, assert_same_bits, config_for, log_of, newest

from ldmcli.training import checkpoints

pytestmark = pytest.mark.early

RHYTHM = {"save_every": 5, "sample_every": 100, "val_every": 6}


@pytest.fixture(scope="module", params=KINDS)
def straight(request, coco, model, tmp_path_factory):
    """(kind, folder) of 12 steps in one go, by a process that ends as it should."""
    return request.param, ran_through(request.param, coco, model, tmp_path_factory.mktemp(request.param), **RHYTHM)


@pytest.fixture
def go(straight, coco, model, tmp_path):
    """Start the same run in `tmp_path/run`, with other options where given."""
    return lambda **changes: ldm(argv_for(straight[0], coco, model, tmp_path / "run", **{**RHYTHM, **changes}), tmp_path / "talk")


def test_5_steps_and_a_kill_and_7_more_are_12_steps(straight, coco, model, tmp_path, go):
    """The pictures are decoded by workers, those of the reference by threads; test_killed_often.py kills without workers."""
    kind, reference = straight
    config = config_for(kind, coco, model, tmp_path / "run", **RHYTHM, workers=1)
    assert killed_at(config, 7, tmp_path / "killed") == -signal.SIGKILL  # 6 and 7 are logged, and 5 is the newest checkpoint
    assert newest(tmp_path / "run").step == 5
    child = go(resume="auto", workers=1)
    assert child.wait() == 0 and "resumed step-000005" in child.said()
    assert_same_bits(reference, tmp_path / "run")


def test_without_a_cache_and_with_workers_it_is_the_run_of_threads(straight, coco, model, tmp_path):
    """Against a straight run of its own: a U-Net's latents are then encoded in other batches, which may round otherwise."""
    kind, _ = straight
    options, workers = {**RHYTHM, "no_cache": True, "max_steps": 7}, 2 if kind == "vae" else 1
    reference = ldm(argv_for(kind, coco, model, tmp_path / "threads", **options), tmp_path / "talk")
    assert reference.wait() == 0, reference.said()
    config = config_for(kind, coco, model, tmp_path / "run", **options, workers=workers)
    assert killed_at(config, 6, tmp_path / "talk") == -signal.SIGKILL
    assert ldm(argv_for(kind, coco, model, tmp_path / "run", **options, workers=1, resume="auto"), tmp_path / "talk").wait() == 0
    assert_same_bits(tmp_path / "threads", tmp_path / "run", step=7)


def lines(run):
    return (run / "log.jsonl").read_text().count("\n") if (run / "log.jsonl").is_file() else 0


def test_sigusr1_saves_and_changes_nothing(straight, tmp_path, go):
    _, reference = straight
    child = go(save_every=100, keep=100)
    child.until(lambda: "training on cpu" in child.said())
    child.send(signal.SIGUSR1)  # while it prepares: kept for the first step
    child.until(lambda: lines(tmp_path / "run") >= 3)
    child.send(signal.SIGUSR1)
    assert child.wait() == 0, child.said()
    saved = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert len(saved) >= 2 and saved[-1] == "step-000012"
    assert all(checkpoints.read(tmp_path / "run" / "checkpoints" / name) for name in saved)
    assert_same_bits(reference, tmp_path / "run")


def test_what_stops_a_run_saves_it_and_the_rest_follows(straight, tmp_path, go):
    """A time limit, Ctrl-C and SIGTERM, one after the other. Every kind of place to stop at is in test_resume_exact.py."""
    (_, reference), run = straight, tmp_path / "run"
    child = go(save_every=100, max_hours=1e-9)
    assert child.wait() == 0 and "--max-hours reached after step 1" in child.said()
    assert newest(run).step == 1
    child = go(save_every=100, resume="auto")
    child.until(lambda: lines(run) >= 2)
    child.send(signal.SIGINT)
    assert child.wait() == 130 and "--resume auto" in child.said()
    stop = newest(run).step + 1
    assert newest(run).step == log_of(run)[-1]["step"] < 12
    child = go(save_every=100, resume="auto")
    child.until(lambda: lines(run) >= stop)
    began = time.monotonic()
    child.send(signal.SIGTERM)
    child.send(signal.SIGTERM)  # as a job manager does: to the process and to its group
    code = child.wait()
    assert time.monotonic() - began < 30
    if code != 0:  # it was not faster than the signal
        assert code == 143 and "stopped by SIGTERM after step" in child.said()
        assert stop <= newest(run).step == log_of(run)[-1]["step"]
        assert go(resume="auto", save_every=100).wait() == 0
    assert_same_bits(reference, run)
