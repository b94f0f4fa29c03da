"""Our group normalisation against torch's own, in double precision."""

import pytest
import torch
from torch import nn

from ldmcli.networks.group_norm import GroupNorm


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("shape", [(3, 32, 8, 8), (1, 8, 1, 5), (2, 16, 4, 1)])
def test_gradients_are_those_of_torch(dtype, tolerance, shape):
    generator = torch.Generator().manual_seed(0)
    ours, exact = GroupNorm(4, shape[1], dtype=dtype if dtype == torch.float64 else None), nn.GroupNorm(4, shape[1], dtype=torch.float64)
    for parameter in ours.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
    exact.load_state_dict(ours.state_dict())
    x, weight = (torch.randn(shape, generator=generator).to(dtype) for _ in range(2))
    mine = (x + 2).to(memory_format=torch.channels_last).requires_grad_(True)
    theirs = (x + 2).double().requires_grad_(True)
    out = ours(mine)
    assert out.is_contiguous(memory_format=torch.channels_last) and out.grad_fn.name().startswith("_ChannelsLast")
    torch.testing.assert_close(out.double(), exact(theirs), rtol=tolerance, atol=tolerance)
    (out * weight).sum().backward()
    (exact(theirs) * weight.double()).sum().backward()
    torch.testing.assert_close(mine.grad.double(), theirs.grad, rtol=tolerance, atol=tolerance)
    for one, other in zip(ours.parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(one.grad.double(), other.grad, rtol=1e-4, atol=1e-4)


def test_the_path_without_gradients_is_torchs_kernel_bit_for_bit():
    norm = GroupNorm(4, 32)
    x = torch.randn(2, 32, 8, 8, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)
    assert torch.equal(norm(x), nn.functional.group_norm(x, 4, norm.weight, norm.bias, norm.eps))


def test_one_picture_of_one_value_per_group_is_that_of_a_batch():
    norm = GroupNorm(32, 32)
    nn.init.normal_(norm.bias)
    x = torch.randn(2, 32, 1, 1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(norm(x[:1]), nn.functional.group_norm(x, 32, norm.weight, norm.bias, norm.eps)[:1])


def test_one_picture_whose_stride_over_pictures_is_another():
    """As autograd functions of others hand it on: a view of a channels-last picture."""
    norm, x = GroupNorm(4, 32), torch.randn(1, 32, 8, 8, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)
    viewed = x.view_as(x).requires_grad_(True)
    assert viewed.stride() != x.stride() and viewed.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(norm(viewed), norm(x.requires_grad_(True)))


def test_weights_in_half_precision_leave_mean_and_deviation_exact():
    generator = torch.Generator().manual_seed(0)
    x, dy = ((torch.randn(2, 32, 8, 8, generator=generator) + 1).to(torch.bfloat16).to(memory_format=torch.channels_last) for _ in range(2))
    exact, half = GroupNorm(4, 32), GroupNorm(4, 32, dtype=torch.bfloat16)
    one, other = (x.detach().requires_grad_(True) for _ in range(2))
    exact(one).backward(dy)
    half(other).backward(dy)
    assert torch.equal(one.grad, other.grad)
