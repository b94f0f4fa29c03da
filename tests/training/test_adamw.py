"""AdamW over channels-last weights gives what torch's own gives, whatever the order of the gradients."""

import copy

import pytest
import torch
from torch import nn

from ldmcli.training.adamw import AdamW


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(4, 8, 3), nn.GroupNorm(2, 8), nn.Conv2d(8, 8, 1), nn.Flatten(), nn.Linear(8 * 16, 3))


def after(optimizer, trained, gradients):
    """The weights after a few steps. gradients: memory format of what the optimizer finds."""
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        for weight in trained.parameters():
            weight.grad = torch.randn(weight.shape, generator=generator)
            if weight.dim() == 4:
                weight.grad = weight.grad.contiguous(memory_format=gradients)
        optimizer.step()
    return [weight.detach().clone() for weight in trained.parameters()]


@pytest.mark.parametrize("gradients", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("weights", [torch.channels_last, torch.contiguous_format])
def test_the_bits_are_those_of_plain_order(weights, gradients):
    plain = network()
    ours = copy.deepcopy(plain).to(memory_format=weights)
    options = {"lr": 1e-2, "weight_decay": 0.1, "betas": (0.9, 0.99), "fused": True}
    expected = after(torch.optim.AdamW(plain.parameters(), **options), plain, torch.contiguous_format)
    found = after(AdamW(ours.parameters(), **options), ours, gradients)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_the_unfused_step_is_torchs_own():
    plain, ours = network(), network().to(memory_format=torch.channels_last)
    expected = after(torch.optim.AdamW(plain.parameters(), lr=1e-2, foreach=False), plain, torch.contiguous_format)
    found = after(AdamW(ours.parameters(), lr=1e-2, foreach=False), ours, torch.channels_last)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
