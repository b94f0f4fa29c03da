"""train-vae with a discriminator: it joins late, learns in the same steps, and is part of every checkpoint."""

import pytest
import torch
from accelerate.state import AcceleratorState
from runs import config_for, events_of, log_of, newest, stop_after

from ldmcli.autoencoder.discriminator import PatchDiscriminator
from ldmcli.errors import UsageError
from ldmcli.records.notes import Note

pytestmark = pytest.mark.early

START, STEPS = 2, 6
TERMS = {"adversarial", "adversarial_weight", "discriminator", "discriminator_grad_norm"}


def settings(coco, output, **changes):
    return config_for(
        "vae", coco, None, output, **{"size": 32, "max_steps": STEPS, "adversarial_weight": 0.5, "adversarial_start": START, **changes}
    )


@pytest.fixture(scope="module")
def straight(coco, tmp_path_factory):
    """6 steps in one go; the discriminator joins in the third."""
    output = tmp_path_factory.mktemp("adversarial") / "straight"
    list(events_of(settings(coco, output)))
    return output


@pytest.fixture(scope="module")
def plain(coco, tmp_path_factory):
    """The same run without a discriminator."""
    output = tmp_path_factory.mktemp("adversarial") / "plain"
    list(events_of(settings(coco, output, adversarial_weight=0.0)))
    return output


def assert_same_bits(one, other):
    first, second = newest(one), newest(other)
    assert first.step == second.step == STEPS and first.names == second.names
    for name in first.names:
        here, there = first.tensors(name), second.tensors(name)
        assert here.keys() == there.keys() and here
        different = [key for key in here if not torch.equal(here[key], there[key])]
        assert not different, f"{name}: {different[:3]}"
    assert log_of(one) == log_of(other)


def test_an_interrupted_run_ends_with_the_bits_of_one_that_ran_through(straight, coco, tmp_path):
    output = tmp_path / "run"
    for stop in (1, 3, 5):  # before it joins, just after, and later
        stop_after(settings(coco, output, resume="auto"), stop)
        assert newest(output).step == stop
    list(events_of(settings(coco, output, resume="auto")))
    assert newest(output).names == {"network", "optimizer", "ema", "discriminator", "discriminator_optimizer"}
    assert_same_bits(straight, output)


def test_steps_after_the_last_checkpoint_are_done_again(straight, coco, tmp_path):
    output = tmp_path / "run"
    events = events_of(settings(coco, output, save_every=3))
    for event in events:  # abandoned without a signal, as by a kill
        if getattr(event, "step", 0) == 5:
            break
    events.close()
    assert newest(output).step == 3
    list(events_of(settings(coco, output, save_every=3, resume="auto")))
    assert_same_bits(straight, output)


def test_it_changes_nothing_before_it_joins_and_the_weights_after(straight, plain):
    for step, (with_it, without) in enumerate(zip(log_of(straight), log_of(plain), strict=True)):
        assert with_it.keys() - without.keys() == (TERMS if step >= START else set())
        assert (with_it["recon"] == without["recon"]) == (step <= START)  # the weights differ from the step after the first together
    assert "discriminator" not in newest(plain).names


def test_its_weights_and_those_of_the_vae_move_from_the_step_in_which_it_joins(straight, coco, tmp_path):
    stop_after(settings(coco, tmp_path / "run"), START)
    before, after = newest(tmp_path / "run").tensors("discriminator"), newest(straight).tensors("discriminator")
    assert before.keys() == PatchDiscriminator().state_dict().keys()
    assert all(not torch.equal(before[key], after[key]) for key in before)
    assert newest(tmp_path / "run").tensors("discriminator_optimizer") == {}


def test_what_is_minimised_is_the_sum_of_the_terms(straight):
    for row in log_of(straight):
        fooling = row["adversarial_weight"] * row["adversarial"] if "adversarial" in row else 0.0
        assert row["loss"] == pytest.approx(row["recon"] + 1e-6 * row["kl"] + 0.5 * row["edges"] + fooling, rel=1e-5)


@pytest.fixture
def accelerate_anew():
    """accelerate keeps the precision of the first run of a process."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


@pytest.mark.parametrize("changes", [{"grad_accum": 2, "batch_size": 4}, {"mixed_precision": "bf16"}, {"size": 16, "channels": (8, 16)}])
def test_it_learns_in_parts_in_half_precision_and_on_small_pictures(accelerate_anew, coco, tmp_path, changes):
    list(events_of(settings(coco, tmp_path / "run", max_steps=3, adversarial_start=0, **changes)))
    rows = log_of(tmp_path / "run")
    assert len(rows) == 3 and all(row.keys() >= TERMS and row["discriminator"] > 0 for row in rows)
    assert len({row["discriminator"] for row in rows}) == 3


def test_a_run_that_ends_before_it_joins_says_so(coco, tmp_path):
    notes = [
        e.text for e in events_of(settings(coco, tmp_path / "run", max_steps=2, adversarial_start=2)) if isinstance(e, Note) and e.warning
    ]
    assert notes[0] == "the discriminator joins after step 2, and the run has 2"


def test_it_can_join_an_older_run_by_force_only(plain, coco, tmp_path):
    first = str(newest(plain).path)
    with pytest.raises(UsageError, match="adversarial_weight"):
        list(events_of(settings(coco, tmp_path / "run", max_steps=8, resume=first)))
    list(events_of(settings(coco, tmp_path / "run", max_steps=8, resume=first, force=True)))
    assert [row["step"] for row in log_of(tmp_path / "run")] == [7, 8]
    assert TERMS <= log_of(tmp_path / "run")[-1].keys()
