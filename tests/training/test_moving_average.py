"""The average of the weights, against its closed form and against diffusers' EMAModel."""

import pytest
import torch
from diffusers.training_utils import EMAModel
from torch import nn

from ldmcli.training.ema import EMA


def one_weight(value):
    network = nn.Linear(1, 1, bias=False)
    return set_weight(network, value)


def set_weight(network, value):
    with torch.no_grad():
        network.weight.fill_(value)
    return network


def test_it_is_the_weighted_sum_that_the_decays_say():
    values = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0]
    network = one_weight(2.0)
    ema = EMA(network, 0.3)
    for value in values:
        ema.update(set_weight(network, value))

    decays = [min(0.3, (1 + t) / (10 + t)) for t in range(1, len(values) + 1)]  # 2/11, 3/12, 0.3, ...
    assert decays[0] < 0.3 and decays[-1] == 0.3
    expected = 2.0
    for decay, value in zip(decays, values, strict=True):
        expected = decay * expected + (1 - decay) * value
    assert ema.state_dict()["weight"].item() == pytest.approx(expected, rel=1e-6)
    assert ema.updates == len(values)


def test_for_a_constant_target_the_distance_shrinks_by_the_decay():
    network = one_weight(0.0)
    ema = EMA(network, 0.9)
    ema.updates = 10_000  # past the warm-up
    set_weight(network, 1.0)
    for _ in range(20):
        ema.update(network)
    assert ema.state_dict()["weight"].item() == pytest.approx(1 - 0.9**20, rel=1e-5)


@pytest.mark.parametrize("decay", [0.5, 0.9999])
def test_it_follows_diffusers_whose_first_update_only_copies(decay):
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    ours, theirs = EMA(network, decay), EMAModel(network.parameters(), decay=decay)
    theirs.step(network.parameters())  # decay 0: a copy, so from here on it counts as ours does
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator))
        ours.update(network)
        theirs.step(network.parameters())
        assert theirs.cur_decay_value == pytest.approx(min(decay, (1 + ours.updates) / (10 + ours.updates)))
    for mine, other in zip(ours.state_dict().values(), theirs.shadow_params, strict=True):
        torch.testing.assert_close(mine, other)


def test_it_goes_on_from_loaded_weights_as_if_never_interrupted():
    network, other = one_weight(0.0), one_weight(7.0)
    through = EMA(network, 0.99)
    for value in (1.0, 2.0, 3.0):
        through.update(set_weight(network, value))
    resumed = EMA(other, 0.99)
    resumed.load({"weight": through.state_dict()["weight"].clone()}, through.updates)
    for ema in (through, resumed):
        ema.update(set_weight(network, 4.0))
    assert torch.equal(through.state_dict()["weight"], resumed.state_dict()["weight"])


def test_the_average_is_a_copy_and_not_the_weights_themselves():
    network = one_weight(1.0)
    ema = EMA(network, 0.99)
    set_weight(network, 5.0)
    assert ema.state_dict()["weight"].item() == 1.0
