"""Watching a U-Net: maps that sum to one, and a network that does not notice."""

import pytest
import torch

from ldmcli.networks.attention import TextContext
from ldmcli.networks.configs import UNetConfig
from ldmcli.networks.probe import record_cross_attention, record_shapes
from ldmcli.networks.unet import UNet

ATTENTION = {
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2": (9, 11),
    "down_blocks.1.attentions.0.transformer_blocks.0.attn2": (5, 6),
    "mid_block.attentions.0.transformer_blocks.0.attn2": (5, 6),
    "up_blocks.0.attentions.0.transformer_blocks.0.attn2": (5, 6),
    "up_blocks.0.attentions.1.transformer_blocks.0.attn2": (5, 6),
    "up_blocks.1.attentions.0.transformer_blocks.0.attn2": (9, 11),
    "up_blocks.1.attentions.1.transformer_blocks.0.attn2": (9, 11),
}


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return UNet(
        UNetConfig(
            block_out_channels=(16, 32),
            down_block_types=("CrossAttnDownBlock2D",) * 2,
            up_block_types=("CrossAttnUpBlock2D",) * 2,
            layers_per_block=1,
            norm_num_groups=8,
            cross_attention_dim=24,
            attention_head_dim=4,
        )
    ).eval()


def call(unet, mask=None):
    generator = torch.Generator().manual_seed(1)
    latents, text = torch.randn(2, 4, 9, 11, generator=generator), torch.randn(2, 7, 24, generator=generator)
    with torch.no_grad():
        return unet(latents, torch.tensor([3, 981]), TextContext(text, mask, remember=True))


def test_every_layer_hands_over_a_map_that_sums_to_one_over_all_positions(unet):
    seen = []
    with record_cross_attention(unet, lambda name, weights: seen.append((name, weights))):
        call(unet)
    assert {name: tuple(weights.shape[2:4]) for name, weights in seen} == ATTENTION and len(seen) == 7
    for _, weights in seen:
        assert weights.shape[:2] == (2, 4) and weights.shape[-1] == 7 and weights.dtype == torch.float32
        assert (weights >= 0).all() and (weights.sum(dim=-1) - 1).abs().max() < 1e-5
        assert weights.std(dim=(2, 3)).max() > 1e-3  # a map, not a constant


def test_hidden_positions_get_nothing(unet):
    mask, seen = torch.tensor([[1] * 7, [1] * 3 + [0] * 4]).bool(), []
    with record_cross_attention(unet, lambda name, weights: seen.append(weights)):
        call(unet, mask)
    for weights in seen:
        assert (weights[1, ..., 3:] == 0).all() and (weights[0, ..., 3:] > 0).all() and (weights.sum(dim=-1) - 1).abs().max() < 1e-5


def test_the_answer_is_bit_for_bit_what_it_is_unwatched(unet):
    before = call(unet)
    with record_cross_attention(unet, lambda name, weights: None), record_shapes(unet, lambda name, shape: None):
        watched = call(unet)
    assert torch.equal(before, watched)


def test_nothing_is_seen_after_the_context_ends_even_by_an_error(unet):
    seen = []
    with pytest.raises(RuntimeError), record_cross_attention(unet, lambda name, weights: seen.append(name)):
        call(unet)
        raise RuntimeError
    assert len(seen) == 7
    call(unet)
    assert len(seen) == 7 and not any(module._forward_hooks or module._forward_pre_hooks for module in unet.modules())


def test_the_shapes_of_the_direct_parts_are_handed_over(unet):
    shapes = {}
    with record_shapes(unet, shapes.__setitem__):
        call(unet)
    assert shapes == {
        "time_embedding": (2, 64),
        "conv_in": (2, 16, 9, 11),
        "down_blocks.0": (2, 16, 5, 6),
        "down_blocks.1": (2, 32, 5, 6),
        "mid_block": (2, 32, 5, 6),
        "up_blocks.0": (2, 32, 9, 11),
        "up_blocks.1": (2, 16, 9, 11),
        "conv_norm_out": (2, 16, 9, 11),
        "conv_out": (2, 4, 9, 11),
    }
