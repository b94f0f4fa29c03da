"""A checkpoint whose every checksum is right and whose parts do not belong together."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ldmcli.errors import LdmError
from ldmcli.training import checkpoints
from ldmcli.training.checkpoints import Checkpoint
from ldmcli.training.ema import EMA
from ldmcli.training.state import Learner, TrainState


def trained() -> TrainState:
    """Two layers after one step, averaged, against one that learns too."""
    torch.manual_seed(0)
    network, opponent = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), nn.Linear(2, 1)
    state = TrainState(network, torch.optim.AdamW(network.parameters()), EMA(network, 0.9))
    state.opponent = Learner("judge", opponent, torch.optim.AdamW(opponent.parameters()), opponent)
    opponent(network(torch.ones(1, 3))).sum().backward()
    for learner in state.learners:
        learner.optimizer.step()
    state.ema.update(network)
    state.step = 1
    return state


@pytest.fixture
def path(tmp_path):
    return trained().save(tmp_path, {})


def change(path, facts=None, **files):
    """Other tensors or facts, with right checksums. files: name -> what is done to its state dict; None takes it out of the manifest."""
    body = json.loads((path / "manifest.json").read_text())
    for name, act in files.items():
        file = path / f"{name}.safetensors"
        if act is None:
            del body["files"][file.name]
            continue
        tensors = load_file(file)
        act(tensors)
        save_file(tensors, file)
        body["files"][file.name] = checkpoints._checksum(file)
    body["facts"]["state"] = body["facts"]["state"] if facts is None else facts
    (path / "manifest.json").write_text(json.dumps(body))


def drop(key):
    return lambda tensors: tensors.pop(key)


def put(key, *shape):
    return lambda tensors: tensors.update({key: torch.zeros(shape)})


SENSELESS = {
    "no average": {"ema": None},
    "an average that lacks a tensor": {"ema": drop("1.bias")},
    "an average of other shapes": {"ema": put("1.bias", 3)},
    "no network": {"network": None},
    "a network that lacks a tensor": {"network": drop("0.weight")},
    "a network with one more": {"network": put("2.weight", 2)},
    "no optimizer": {"optimizer": None},
    "an optimizer that lacks a moment": {"optimizer": drop("2.exp_avg")},
    "an optimizer of a parameter that is not there": {
        "optimizer": lambda t: t.update({f"9{k[1:]}": t.pop(k) for k in [*t] if k[0] == "3"})
    },
    "a moment of another shape": {"optimizer": put("2.exp_avg", 5)},
    "a moment of no parameter": {"optimizer": put("two.exp_avg", 5)},
    "a moment without a name": {"optimizer": put("2", 5)},
    "no optimizer of the other": {"judge_optimizer": None},
    "another judge": {"judge": put("weight", 2, 2)},
    "no state": {"facts": {}},
    "a state that is a list": {"facts": []},
    "updates that are no number": {"facts": {"ema_updates": "1", "scaler": None}},
    "a scaler that is a number": {"facts": {"ema_updates": 1, "scaler": 3}},
}


@pytest.mark.parametrize("what", SENSELESS)
def test_parts_that_do_not_belong_together_are_told(what, path):
    change(path, **SENSELESS[what])
    with pytest.raises(LdmError, match=r"step-000001 is damaged: ") as caught:
        trained().check(checkpoints.read(path), same_network=True)
    assert caught.value.exit_code == 1 and "step-NNNNNN" in caught.value.hint


def test_a_file_that_is_no_safetensors_file_is_told(path):
    (path / "ema.safetensors").write_bytes(b"\xff" * 40)
    found = checkpoints.Checkpoint(path, 1, {"state": {"ema_updates": 1, "scaler": None}}, frozenset({"ema", "network", "optimizer"}))
    with pytest.raises(LdmError, match=r"ema\.safetensors is no safetensors file"):
        trained().check(found, same_network=True)


def test_what_was_saved_makes_sense_and_is_restored(path):
    found = checkpoints.read(path)
    other = trained()
    nn.init.zeros_(other.network[0].weight)
    other.check(found, same_network=True)
    other.restore(found)
    assert torch.equal(other.network[0].weight, trained().network[0].weight)


def test_another_network_is_not_damage(path):
    """`restore` tells what differs: it is the options that are wrong."""
    other = trained()
    other.network = nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 2))
    other.optimizer = torch.optim.AdamW(other.network.parameters())
    found: Checkpoint = checkpoints.read(path)
    other.check(found, same_network=False)
    with pytest.raises(LdmError, match=r"another network: 0\.weight is 4x3 there and 8x3 here") as caught:
        other.restore(found)
    assert caught.value.exit_code == 2
