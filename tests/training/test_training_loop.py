"""The loop on a network of three weights: learning rates, accumulation, and what stops it."""

import math

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from ldmcli.errors import NonFinite
from ldmcli.training.ema import EMA
from ldmcli.training.loop import LoopConfig, lr_at, train
from ldmcli.training.state import Learner, TrainState

BASE = {"max_steps": 20, "lr": 0.1, "lr_schedule": "constant", "warmup": 0, "max_grad_norm": 0.0, "grad_accum": 1, "pictures_per_step": 4}


def config(**changes):
    return LoopConfig(**{**BASE, **changes})


def linear_state():
    torch.manual_seed(0)
    network = nn.Linear(3, 1, bias=False)
    return TrainState(network, torch.optim.SGD(network.parameters(), lr=1.0), EMA(network, 0.9))


def run(state, loop, loss_of, describe=lambda step: "none"):
    return list(train(state, loss_of, loop, Accelerator(cpu=True), describe))


def data(step):
    """(8, 3) inputs of a step."""
    return torch.randn(8, 3, generator=torch.Generator().manual_seed(step))


def squared(state, rows):
    return (state.network(rows) - rows.sum(dim=1, keepdim=True)).square().mean()


def test_the_rate_climbs_through_the_warm_up_and_stays():
    rates = [lr_at(config(warmup=4), step) for step in range(8)]
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1, 0.1, 0.1])


def test_a_linear_schedule_falls_to_nothing_at_the_last_step():
    rates = [lr_at(config(lr_schedule="linear", warmup=10), step) for step in (10, 15, 20)]
    assert rates == pytest.approx([0.1, 0.05, 0.0])


def test_a_cosine_schedule_is_half_way_down_in_the_middle():
    loop = config(lr_schedule="cosine", warmup=10)
    assert [lr_at(loop, step) for step in (10, 15, 20)] == pytest.approx([0.1, 0.05, 0.0])
    assert lr_at(loop, 12) == pytest.approx(0.05 * (1 + math.cos(math.pi * 0.2)))


def test_the_optimizer_really_uses_the_rate_of_each_step():
    state = linear_state()
    before = state.network.weight.detach().clone()
    records = run(state, config(max_steps=2, warmup=2), lambda step, part: {"loss": state.network.weight.sum()})
    assert [r.lr for r in records] == pytest.approx([0.05, 0.1])
    torch.testing.assert_close(state.network.weight, before - 0.15)  # a gradient of 1 and rates of 0.05 and 0.1


def test_a_part_of_an_accumulated_step_counts_as_a_share_of_the_whole_batch():
    whole, parts = linear_state(), linear_state()
    run(whole, config(max_steps=3), lambda step, part: {"loss": squared(whole, data(step))})
    run(parts, config(max_steps=3, grad_accum=2), lambda step, part: {"loss": squared(parts, data(step).chunk(2)[part])})
    torch.testing.assert_close(whole.network.weight, parts.network.weight)


def test_gradients_are_clipped_to_the_norm_that_was_asked_for():
    state = linear_state()
    before = state.network.weight.detach().clone()
    (record,) = run(state, config(max_steps=1, max_grad_norm=0.5), lambda step, part: {"loss": 100 * state.network.weight.sum()})
    assert (state.network.weight - before).norm().item() == pytest.approx(0.1 * 0.5, rel=1e-4)
    assert record.terms["grad_norm"] == pytest.approx(100 * math.sqrt(3))  # what is reported is the norm before clipping


def test_gradients_shorter_than_that_are_left_as_they_are():
    free, clipped = linear_state(), linear_state()
    for state, most in ((free, 0.0), (clipped, 1e6)):
        run(state, config(max_steps=3, max_grad_norm=most), lambda step, part, state=state: {"loss": squared(state, data(step))})
    assert torch.equal(free.network.weight, clipped.network.weight)


def test_records_carry_every_named_term():
    state = linear_state()
    (record,) = run(state, config(max_steps=1), lambda step, part: {"loss": state.network.weight.sum(), "kl": torch.tensor(2.0)})
    assert record.terms["kl"] == 2.0 and set(record.terms) == {"loss", "kl", "grad_norm"}
    assert record.step == record.total == 1 and record.images_per_s > 0


@pytest.mark.parametrize("bad", ["loss", "gradient"])
def test_a_number_that_is_not_finite_stops_before_the_weights_change(bad):
    state = linear_state()
    seen = {}

    def loss_of(step, part):
        seen[step] = state.network.weight.detach().clone(), state.ema.state_dict()["weight"].clone()
        loss = squared(state, data(step))
        if step == 6:  # the seventh step
            loss = loss * math.nan if bad == "loss" else loss + (0 * state.network.weight.sum()).sqrt()  # 0 with a gradient of NaN
        return {"loss": loss}

    with pytest.raises(NonFinite) as caught:
        run(state, config(), loss_of, describe=lambda step: f"ids of step index {step}")
    assert caught.value.exit_code == 4
    assert "step 7" in caught.value.message and "ids of step index 6" in caught.value.message
    assert state.step == 6
    weight, average = seen[6]
    assert torch.equal(state.network.weight, weight) and torch.equal(state.ema.state_dict()["weight"], average)


def test_a_state_that_has_taken_its_steps_takes_no_more():
    state = linear_state()
    state.step = 20
    assert run(state, config(), lambda step, part: {"loss": state.network.weight.sum()}) == []


def with_opponent():
    """A state in which a second network learns, from a loss of its own."""
    state, opponent = linear_state(), nn.Linear(3, 1, bias=False)
    state.opponent = Learner("rival", opponent, torch.optim.SGD(opponent.parameters(), lr=1.0), opponent)
    return state, opponent


def both(state, opponent):
    """The opponent's loss is there from the second step on, and has a gradient of (100, 100, 100)."""

    def loss_of(step, part):
        return {"loss": squared(state, data(step)), **({"rival": 100 * opponent.weight.sum()} if step else {})}

    return loss_of


def test_an_opponent_learns_from_its_own_loss_in_the_steps_that_have_it():
    state, opponent = with_opponent()
    alone, start = linear_state(), opponent.weight.detach().clone()
    records = run(state, config(max_steps=3, max_grad_norm=0.5, warmup=3, grad_accum=2), both(state, opponent))
    assert ["rival_grad_norm" in record.terms for record in records] == [False, True, True]
    assert records[1].terms["rival_grad_norm"] == pytest.approx(100 * math.sqrt(3))
    moved = 0.5 / math.sqrt(3) * sum(record.lr for record in records[1:])  # clipped by its own norm, at the rates of the schedule
    torch.testing.assert_close(opponent.weight, start - moved)
    run(alone, config(max_steps=3, max_grad_norm=0.5, warmup=3, grad_accum=2), lambda step, part: {"loss": squared(alone, data(step))})
    assert torch.equal(alone.network.weight, state.network.weight)


@pytest.mark.parametrize("bad", ["loss", "gradient"])
def test_an_opponent_that_is_not_finite_stops_before_any_weight_changes(bad):
    state, opponent = with_opponent()
    seen = {}

    def loss_of(step, part):
        seen[step] = state.network.weight.detach().clone(), opponent.weight.detach().clone()
        rival = opponent.weight.square().sum()
        if step == 2:
            rival = rival * math.nan if bad == "loss" else rival + (0 * opponent.weight.sum()).sqrt()
        return {"loss": squared(state, data(step)), "rival": rival}

    with pytest.raises(NonFinite, match="step 3: rival"):
        run(state, config(), loss_of)
    assert all(torch.equal(now, then) for now, then in zip((state.network.weight, opponent.weight), seen[2], strict=True))


def test_a_scaler_leaves_out_only_the_learner_whose_gradients_overflowed():
    state, opponent = with_opponent()
    accelerator = Accelerator(cpu=True)
    accelerator.scaler = state.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    start = state.network.weight.detach().clone(), opponent.weight.detach().clone()
    rival = lambda step, part: {"loss": squared(state, data(step)), "rival": 1e38 * opponent.weight.sum()}  # noqa: E731  # 4e38 is infinite
    (record,) = list(train(state, rival, config(max_steps=1), accelerator, lambda step: "none"))
    assert not math.isfinite(record.terms["rival_grad_norm"]) and math.isfinite(record.terms["grad_norm"])
    assert not torch.equal(state.network.weight, start[0]) and torch.equal(opponent.weight, start[1])
    assert state.ema.updates == 1 and state.scaler.get_scale() == 2.0
