"""What torch's compiler makes of a network must learn as the network does."""

import shutil

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from ldmcli.networks.layers import Upsample, doubled


@pytest.mark.parametrize("size", [None, (5, 8), (6, 7)])
def test_doubling_is_the_same_compiled(size):
    x = torch.randn(2, 3, 3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    compiled = torch.compile(doubled, backend="eager")
    assert torch.equal(compiled(x, size), doubled(x, size))


@pytest.mark.skipif(shutil.which("c++") is None, reason="Inductor needs a C++ compiler")
def test_what_is_below_an_upsampling_learns_when_compiled():
    """Of these shapes, in bf16 on a CPU, torch 2.13's Inductor sent back zeros through `interpolate`."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(384, 192, 1), Upsample(192))
    x = torch.randn(8, 384, 4, 4)

    def gradients(of: nn.Module) -> list[Tensor]:
        network.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = of(x)
        found.float().square().mean().backward()
        return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]

    wanted = gradients(network)
    found = gradients(torch.compile(network))
    assert len(found) == 4
    for one, other in zip(found, wanted, strict=True):
        assert_close(one, other, atol=0.02 * other.abs().max().item(), rtol=0)
