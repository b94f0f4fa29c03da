"""Two processes against one at the same global batch, as the launchers start them.

Two processes go through the very bits of one that accumulates two parts. One batch of both is other arithmetic (sums over 8 pictures
instead of 4 and 4), and Adam makes rounding grow: that is held to 1e-5 on the losses, at the rates of a usual warm-up.
"""

import json
from pathlib import Path

import pytest
from launch import by_launcher
from runs import KINDS, config_for, log_of, stop_after
from two_processes import OWN, RUN, STEPS, TWO_PARTS, assert_same_bits, files, run_alone, run_in_two, typed

from ldmcli.errors import UsageError
from ldmcli.records.notes import Note

pytestmark = pytest.mark.early

LAUNCHERS = {"vae": "torchrun", "unet": "accelerate"}
"""Each says what it would start, and forks begin so; what else is asked of two begins as forks with the variables that launchers set. Slow
tests have two real processes."""


@pytest.fixture(scope="module", params=KINDS)
def alone(request, coco, model, tmp_path_factory):
    """(kind, folder of a run with batches of 8, folder of one that accumulates 4 and 4)."""
    folder = tmp_path_factory.mktemp(request.param)
    run_alone(request.param, coco, model, folder / "whole")
    run_alone(request.param, coco, model, folder / "parts", **TWO_PARTS)
    return request.param, folder / "whole", folder / "parts"


def assert_losses_within_1e_5(one: Path, other: Path):
    """Of every step. What else is logged is not minimised (or hardly so: the KL term has a weight of 1e-6), and drifts further."""
    here, there = log_of(one), log_of(other)
    assert [row["step"] for row in here] == [row["step"] for row in there] == list(range(1, STEPS + 1))
    for a, b in zip(here, there, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5), a["step"]
        assert a == {name: pytest.approx(value, rel=5e-3) for name, value in b.items()}


def test_accumulating_two_parts_equals_one_batch_of_both(alone):
    _, whole, parts = alone
    assert_losses_within_1e_5(whole, parts)


def test_two_processes_equal_one_at_the_same_global_batch(alone, coco, model, tmp_path):
    kind, whole, parts = alone
    output = tmp_path / "two"
    said, talk = run_in_two(kind, coco, model, output, LAUNCHERS[kind], batch_size=4)
    assert said.splitlines() == [f"{output}/model"]  # one of them speaks
    assert talk.count("pictures to train on") == 1 and "2 processes" in talk
    assert_losses_within_1e_5(whole, output)
    assert_same_bits(parts, output)
    assert files(output / "cache") == files(whole / "cache")  # 24 pictures, 8 views: the latents are three batches for two
    assert files(output / "model") == files(parts / "model") and files(output).keys() == files(whole).keys()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_started_by_a_launcher(launcher, coco, model, tmp_path):
    run_alone("vae", coco, model, tmp_path / "parts", **TWO_PARTS)
    done = by_launcher(launcher, *typed("vae", coco, model, tmp_path / "two", batch_size=4))
    assert done.returncode == 0 and done.stdout.splitlines() == [f"{tmp_path}/two/model"], done.stderr
    assert_same_bits(tmp_path / "parts", tmp_path / "two")


def test_accumulating_in_two_processes_equals_one_batch_of_all(alone, coco, model, tmp_path):
    kind, whole, _ = alone
    said, _ = run_in_two(kind, coco, model, tmp_path / "run", batch_size=2, grad_accum=2, json=True)
    assert json.loads(said)["step"] == STEPS
    assert_losses_within_1e_5(whole, tmp_path / "run")


def test_a_run_goes_on_in_another_number_of_processes_at_the_same_global_batch(alone, coco, model, tmp_path):
    kind, whole, _ = alone
    output = tmp_path / "run"
    stop_after(config_for(kind, coco, model, output, **{**RUN, **OWN[kind]}), 3)
    _, talk = run_in_two(kind, coco, model, output, batch_size=4, resume="auto")
    assert "batch_size: 8 then, 4 now; processes: 1 then, 2 now: the same pictures in every step, but other rounding" in talk
    assert_losses_within_1e_5(whole, output)


def test_another_global_batch_is_another_run(alone, coco, model):
    kind, whole, _ = alone
    with pytest.raises(UsageError, match="grad_accum: 1 then, 2 now"):
        run_alone(kind, coco, model, whole, grad_accum=2, resume="auto")
    events = run_alone(kind, coco, model, whole, **TWO_PARTS, resume="auto")
    assert any(isinstance(event, Note) and "other rounding" in event.text for event in events)
