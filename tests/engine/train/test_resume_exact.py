"""A run that was interrupted ends with the same bits as one that was not."""

import pytest
import torch
from runs import KINDS, assert_same_bits, config_for, events_of, log_of, newest, stop_after

from ldmcli.records.notes import Note
from ldmcli.records.training import TrainDone

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=KINDS)
def straight(request, coco, model, tmp_path_factory):
    """(kind, folder) of 12 steps in one go."""
    output = tmp_path_factory.mktemp(request.param) / "straight"
    list(events_of(config_for(request.param, coco, model, output)))
    return request.param, output


@pytest.mark.parametrize("stop", [1, 5, 11])  # 22 pictures in batches of 8: an epoch ends within the third step
def test_an_interrupted_run_ends_with_the_bits_of_one_that_ran_through(straight, stop, coco, model, tmp_path):
    kind, reference = straight
    output = tmp_path / "run"
    stopped = stop_after(config_for(kind, coco, model, output), stop)
    assert stopped.exit_code == 143 and f"after step {stop};" in stopped.message
    assert newest(output).step == stop
    events = list(events_of(config_for(kind, coco, model, output, resume="auto")))
    assert any(isinstance(event, Note) and event.text == f"resumed step-{stop:06d}" for event in events)
    assert_same_bits(reference, output)
    assert [row["step"] for row in log_of(output)] == list(range(1, 13))


def test_steps_done_after_the_last_checkpoint_are_done_again_and_logged_once(straight, coco, model, tmp_path):
    kind, reference = straight
    output = tmp_path / "run"
    events = events_of(config_for(kind, coco, model, output, save_every=4))
    for event in events:  # abandoned without a signal, as by a kill: step 7 is logged, step 4 is saved
        if getattr(event, "step", 0) == 7:
            break
    events.close()
    assert newest(output).step == 4 and log_of(output)[-1]["step"] == 7
    with (output / "log.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')  # cut short
    list(events_of(config_for(kind, coco, model, output, save_every=4, resume="auto")))
    assert_same_bits(reference, output)


def test_a_path_names_the_checkpoint_to_go_on_from(straight, coco, model, tmp_path):
    kind, reference = straight
    first = tmp_path / "first"
    stop_after(config_for(kind, coco, model, first), 5)
    output = tmp_path / "second"
    list(events_of(config_for(kind, coco, model, output, resume=str(first / "checkpoints" / "step-000005"))))
    assert newest(output).step == 12
    assert all(
        torch.equal(a, b) for a, b in zip(newest(reference).tensors("ema").values(), newest(output).tensors("ema").values(), strict=True)
    )


def test_a_finished_run_that_is_resumed_takes_no_step_and_reports_what_it_measured(straight, coco, model):
    kind, reference = straight
    before = newest(reference).path.stat().st_mtime_ns
    events = list(events_of(config_for(kind, coco, model, reference, resume="auto")))
    done = events[-1]
    assert isinstance(done, TrainDone) and done.step == 12
    assert newest(reference).path.stat().st_mtime_ns == before
    if kind == "vae":
        assert done.figures["scaling_factor"] != 1.0


def test_another_seed_gives_another_run(straight, coco, model, tmp_path):
    kind, reference = straight
    list(events_of(config_for(kind, coco, model, tmp_path / "run", seed=1, max_steps=1)))
    assert log_of(tmp_path / "run")[0]["loss"] != log_of(reference)[0]["loss"]
