"""Muon moves matrices as torch.optim.Muon does, all else as AdamW does, and convolutions as the matrices that they are."""

import copy
import math

import pytest
import torch
from torch import nn

from ldmcli.training.adamw import AdamW
from ldmcli.training.muon import Muon, as_matrix, as_weight, is_matrix, orthogonalize

OPTIONS = {"lr": 1e-2, "weight_decay": 0.1, "betas": (0.9, 0.99), "fused": True}


def network():
    """Two linear layers of one shape, a tall one, a wide one; a table, a norm and layers too small to be matrices."""
    torch.manual_seed(0)
    linear = [nn.Linear(24, 24), nn.Linear(24, 24, bias=False), nn.Linear(24, 40), nn.Linear(40, 20)]
    return nn.ModuleList([*linear, nn.Embedding(50, 24), nn.LayerNorm(20), nn.Linear(20, 3), nn.Conv2d(3, 20, 1), nn.Conv2d(20, 32, 3)])


def gradients(trained, step):
    generator = torch.Generator().manual_seed(step)
    for weight in trained.parameters():
        weight.grad = torch.randn(weight.shape, generator=generator)


def ours(trained, **changes):
    return Muon(trained.parameters(), [trained[4].weight], **{**OPTIONS, **changes})


def test_linear_layers_move_as_by_torchs_own_and_the_rest_as_by_adamw():
    trained, peer = network(), network()
    optimizer = ours(trained)
    chosen = [number for number, weight in enumerate(trained.parameters()) if optimizer.moves(weight) and weight.dim() == 2]
    assert len(chosen) == 4
    every = [*peer.parameters()]
    muon = torch.optim.Muon(
        [every[number] for number in chosen], lr=1e-2, weight_decay=0.1, momentum=0.95, nesterov=True, adjust_lr_fn="match_rms_adamw"
    )
    adam = torch.optim.AdamW([weight for number, weight in enumerate(every) if number not in chosen], **OPTIONS)
    for step in range(3):
        gradients(trained, step)
        gradients(peer, step)
        for each in (optimizer, muon, adam):
            each.step()
    for (name, weight), other in zip(trained.named_parameters(), peer.parameters(), strict=True):
        if name == "8.weight":
            continue  # a convolution, which torch's own does not take
        # Products of one shape are made together, so that bf16 rounds them a little otherwise: of steps of 0.002, 2 % at most.
        assert (weight - other).abs().max() < (4e-5 if optimizer.moves(weight) else 1e-9), name


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_convolution_moves_as_its_matrix_does_in_any_layout(layout):
    conv = nn.Conv2d(20, 32, 3).to(memory_format=layout)
    flat = nn.Parameter(as_matrix(conv.weight.detach()).clone())
    one, other = Muon(conv.parameters(), **OPTIONS), Muon([flat], **OPTIONS)
    for step in range(3):
        gradients(conv, step)  # in plain order, whatever the layout
        flat.grad = as_matrix(conv.weight.grad).clone()
        one.step()
        other.step()
    assert torch.equal(as_matrix(conv.weight.detach()), flat.detach())
    assert torch.equal(as_weight(flat.detach(), conv.weight), conv.weight.detach())
    assert conv.weight.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("shape", [(24, 24), (16, 200), (200, 16)])
def test_singular_values_come_near_one(shape):
    generator = torch.Generator().manual_seed(1)
    given = torch.randn(2, *shape, generator=generator)
    found = orthogonalize(given).float()
    assert torch.linalg.svdvals(found).sub(1).abs().max() < 0.4
    for before, after in zip(given, found, strict=True):  # and the vectors stay: U^T X V is near the identity
        u, _, v = torch.linalg.svd(before, full_matrices=False)
        turned = u.mT @ after @ v.mT
        assert (turned - torch.diag(turned.diag())).abs().max() < 0.05


def test_nothing_is_orthogonalized_of_zeros():
    assert torch.equal(orthogonalize(torch.zeros(1, 16, 20)), torch.zeros(1, 16, 20, dtype=torch.bfloat16))


def test_which_parameters_are_matrices():
    matrices = [(16, 16), (16, 4, 3, 3)]
    others = {"picture": (3, 64, 3, 3), "low rank": (64, 4), "bias": (64,), "few": (64, 1, 3, 3)}
    assert all(is_matrix(torch.zeros(shape)) for shape in matrices)
    assert not any(is_matrix(torch.zeros(shape)) for shape in others.values())


def test_a_step_is_as_long_as_adamws_first():
    """Both have a root mean square near 0.2 lr: AdamW's 1, Muon's 0.2 sqrt(max) / sqrt(max) of orthogonal rows."""
    weight = nn.Parameter(torch.zeros(64, 64))
    weight.grad = torch.randn(64, 64, generator=torch.Generator().manual_seed(2))
    Muon([weight], **{**OPTIONS, "weight_decay": 0.0}).step()
    assert math.isclose(weight.detach().square().mean().sqrt().item(), 0.2 * 1e-2, rel_tol=0.25)


def test_groups_keep_their_rates():
    trained, halved = network(), network()
    every = [[*each.parameters()] for each in (trained, halved)]
    optimizers = [Muon([{"params": weights[:3]}, {"params": weights[3:]}], **{**OPTIONS, "weight_decay": 0.0}) for weights in every]
    optimizers[1].param_groups[1]["lr"] /= 2
    before = [weight.detach().clone() for weight in every[0]]
    for each, optimizer in zip((trained, halved), optimizers, strict=True):
        gradients(each, 0)
        optimizer.step()
    moved, half = ([weight.detach() - was for weight, was in zip(weights, before, strict=True)] for weights in every)
    assert all(torch.equal(a, b) for a, b in zip(moved[:3], half[:3], strict=True))
    assert all(torch.allclose(a, 2 * b, rtol=1e-3, atol=1e-6) for a, b in zip(moved[3:], half[3:], strict=True))


def test_a_scaler_leaves_out_a_step_that_overflowed():
    trained = network()
    before = copy.deepcopy(trained.state_dict())
    scaler, optimizer = torch.amp.GradScaler("cpu", init_scale=2.0), ours(trained)
    scaler.scale(torch.zeros(()))
    gradients(trained, 0)
    trained[0].weight.grad[0, 0] = math.inf
    scaler.step(optimizer)
    scaler.update()
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
    assert scaler.get_scale() == 1.0


def test_an_adamw_is_made_of_what_muon_leaves():
    """Parameters without a gradient are left alone, as by AdamW."""
    trained = network()
    ours(trained).step()
    assert all(torch.equal(a, b) for a, b in zip(trained.parameters(), network().parameters(), strict=True))
    assert isinstance(ours(trained), AdamW)
