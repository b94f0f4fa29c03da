"""Networks that are trained from nothing begin with blocks that pass on what they are given."""

import pytest
import torch

from ldmcli.networks.attention import SpatialTransformer, TextContext
from ldmcli.networks.initial_values import zero_residual_branches
from ldmcli.networks.layers import ResnetBlock
from ldmcli.networks.vae import MidAttention

BLOCKS = {
    "ResNet block": lambda: ResnetBlock(16, 16, groups=4, eps=1e-6),
    "attention of the VAE": lambda: MidAttention(16, 4),
    "transformer of convolutions": lambda: SpatialTransformer(16, 2, 12, depth=1, groups=4, linear_projection=False, upcast=False),
    "transformer of linear layers": lambda: SpatialTransformer(16, 2, 12, depth=1, groups=4, linear_projection=True, upcast=False),
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_block_passes_on_what_it_is_given_and_its_last_layer_learns(kind):
    torch.manual_seed(0)
    block = BLOCKS[kind]()
    x, context = torch.randn(2, 16, 4, 4), TextContext(torch.randn(2, 5, 12))
    given = (x, context) if isinstance(block, SpatialTransformer) else (x,)
    assert not torch.equal(block(*given), x)
    zero_residual_branches(block)
    found = block(*given)
    assert torch.equal(found, x)
    found.square().sum().backward()
    moved = {name for name, weight in block.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert moved and all(not block.get_parameter(name).any() for name in moved)


def test_where_widths_change_the_shortcut_stays():
    torch.manual_seed(0)
    block = ResnetBlock(8, 16, groups=4, eps=1e-6)
    zero_residual_branches(block)
    x = torch.randn(1, 8, 4, 4)
    assert torch.equal(block(x), block.conv_shortcut(x)) and block(x).any()
