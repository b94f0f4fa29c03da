"""A run that was interrupted ends with the same bits as one that was not."""

import pytest
import torch
from runs import KINDS, assert_same_bits, config_for, events_of, log_of, newest, stop_after

from ldmcli.records.notes import Note
from ldmcli.records.training import TrainDone

pytestmark = pytest.mark.early
SIX = {"max_steps": 6}  # two epochs of 22 pictures in batches of 8


@pytest.fixture(scope="module", params=KINDS)
def straight(request, coco, model, tmp_path_factory):
    """(kind, folder) of 6 steps in one go."""
    output = tmp_path_factory.mktemp(request.param) / "straight"
    list(events_of(config_for(request.param, coco, model, output, **SIX)))
    return request.param, output


def test_a_run_that_is_interrupted_again_and_again_ends_with_the_bits_of_one_that_ran_through(straight, coco, model, tmp_path):
    kind, reference = straight
    output = tmp_path / "run"
    for stop in (1, 2, 5):  # 22 pictures in batches of 8: an epoch ends within the third step
        stopped = stop_after(config_for(kind, coco, model, output, resume="auto", **SIX), stop)
        assert stopped.exit_code == 143 and f"after step {stop};" in stopped.message
        assert newest(output).step == stop
    events = list(events_of(config_for(kind, coco, model, output, resume="auto", **SIX)))
    assert any(isinstance(event, Note) and event.text == f"resumed step-{stop:06d}" for event in events)
    assert_same_bits(reference, output, step=6)
    assert [row["step"] for row in log_of(output)] == list(range(1, 7))


def test_steps_done_after_the_last_checkpoint_are_done_again_and_logged_once(straight, coco, model, tmp_path):
    kind, reference = straight
    output = tmp_path / "run"
    events = events_of(config_for(kind, coco, model, output, save_every=3, **SIX))
    for event in events:  # abandoned without a signal, as by a kill: step 5 is logged, step 3 is saved
        if getattr(event, "step", 0) == 5:
            break
    events.close()
    assert newest(output).step == 3 and log_of(output)[-1]["step"] == 5
    with (output / "log.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # cut short
    list(events_of(config_for(kind, coco, model, output, save_every=3, resume="auto", **SIX)))
    assert_same_bits(reference, output, step=6)


def test_a_path_names_the_checkpoint_to_go_on_from(straight, coco, model, tmp_path):
    kind, reference = straight
    first = tmp_path / "first"
    stop_after(config_for(kind, coco, model, first, **SIX), 4)
    output = tmp_path / "second"
    list(events_of(config_for(kind, coco, model, output, resume=str(first / "checkpoints" / "step-000004"), **SIX)))
    assert newest(output).step == 6
    assert all(
        torch.equal(a, b) for a, b in zip(newest(reference).tensors("ema").values(), newest(output).tensors("ema").values(), strict=True)
    )


def test_a_finished_run_that_is_resumed_takes_no_step_and_reports_what_it_measured(straight, coco, model):
    kind, reference = straight
    before = newest(reference).path.stat().st_mtime_ns
    events = list(events_of(config_for(kind, coco, model, reference, resume="auto", **SIX)))
    done = events[-1]
    assert isinstance(done, TrainDone) and done.step == 6
    assert newest(reference).path.stat().st_mtime_ns == before
    if kind == "vae":
        assert done.figures["scaling_factor"] != 1.0


def test_another_seed_gives_another_run(straight, coco, model, tmp_path):
    kind, reference = straight
    list(events_of(config_for(kind, coco, model, tmp_path / "run", seed=1, max_steps=1)))
    assert log_of(tmp_path / "run")[0]["loss"] != log_of(reference)[0]["loss"]
