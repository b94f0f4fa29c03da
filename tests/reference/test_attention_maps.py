"""Recorded cross-attention against the explicit softmax of diffusers' own attention scores: the same random weights, the same maps."""

from functools import cache

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor
from test_networks import SIZES, TOLERANCE, noise, unet_twins

from ldmcli.networks.attention import TextContext
from ldmcli.networks.probe import record_cross_attention


def their_maps(unet):
    """A dict that fills with (B * H, N, L) by layer: what `get_attention_scores` returns inside the plain processor."""
    maps = {}

    def keeping(name, scores):
        def kept(*arguments):
            maps[name] = scores(*arguments)
            return maps[name]

        return kept

    unet.set_attn_processor(AttnProcessor())
    for name, module in unet.named_modules():
        if name.endswith("attn2"):
            module.get_attention_scores = keeping(name, module.get_attention_scores)
    return maps


@cache
def watched(kind):
    """(theirs, ours, the maps of theirs)."""
    theirs, ours = unet_twins(kind)
    return theirs, ours, their_maps(theirs)


@pytest.mark.parametrize("hidden", [False, True], ids=["all seen", "pads hidden"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["plain", "heads per level as a list", "upcast attention", "two transformer layers", "SD 1.4", "SD 2.1"])
def test_the_maps_equal_diffusers_explicit_softmax(kind, size, hidden):
    theirs, ours, wanted = watched(kind)
    latents, text = noise(2, 4, *SIZES[size]), noise(2, 7, ours.config.cross_attention_dim, seed=2)
    timesteps, mask = torch.tensor([3, 981]), torch.tensor([[1] * 7, [1] * 3 + [0] * 4]) if hidden else None
    wanted.clear()
    found = {}
    with torch.no_grad(), record_cross_attention(ours, found.__setitem__):
        theirs(latents, timesteps, text, encoder_attention_mask=mask)
        ours(latents, timesteps, TextContext(text, None if mask is None else mask.bool()))
    assert found.keys() == wanted.keys() and len(found) >= 4
    for name, weights in found.items():
        assert (weights.flatten(0, 1).flatten(1, 2) - wanted[name]).abs().max() <= TOLERANCE
        assert (weights.sum(dim=-1) - 1).abs().max() <= TOLERANCE
