"""Winograd's convolution against torch's, alone and inside the inference copies."""

import pytest
import torch
from inference_pairs import KINDS, SIZES, compare, inputs, noise
from torch.nn import functional as F

from ldmcli.networks import packed, winograd
from ldmcli.networks.inference import InferenceUNet

pytestmark = pytest.mark.skipif(not packed.can_pack(), reason="this torch lacks the operations that the copies are made of")


@pytest.mark.parametrize("size", [(8, 8), (9, 11), (1, 1), (3, 2)])
@pytest.mark.parametrize("added", [False, True])
def test_winograds_convolution_rounds_no_worse_than_the_plain_one(size, added):
    x, weight, bias, more = noise(3, 24, *size), noise(40, 24, 3, 3, seed=2), noise(40, seed=3), noise(3, 40, *size, seed=4)
    exact = F.conv2d(x.double(), weight.double(), bias.double(), padding=1) + (more.double() if added else 0)
    x, more = (value.contiguous(memory_format=torch.channels_last) for value in (x, more))
    ours = winograd.convolve(x, winograd.transformed(weight), bias, more if added else None)
    assert (ours - exact).abs().max() <= 2e-6 * exact.abs().max()


@pytest.mark.parametrize("size", [(8, 8), (9, 11), (2, 30)])
@pytest.mark.parametrize("lines", [1, 2, 3])
def test_strips_are_parts_of_the_whole(size, lines, monkeypatch):
    x, weight, bias = noise(3, 24, *size).contiguous(memory_format=torch.channels_last), noise(40, 24, 3, 3, seed=2), noise(40, seed=3)
    whole = winograd.convolve(x, winograd.transformed(weight), bias)
    counted, strip = [], winograd._strip
    monkeypatch.setattr(winograd, "_strip", lambda part, *others: counted.append(part.shape[1]) or strip(part, *others))
    monkeypatch.setattr(winograd, "AT_ONCE", lines * 16 * 3 * -(-size[1] // 2) * 40)
    parts = winograd.convolve(x, winograd.transformed(weight), bias)
    down = -(-size[0] // 2)
    assert len(counted) == -(-down // lines) and max(counted) <= 2 * lines + 2
    assert parts.is_contiguous(memory_format=torch.channels_last) and (parts - whole).abs().max() <= 1e-6 * whole.abs().max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_with_winograds_convolutions(pairs, kind, size, monkeypatch):
    monkeypatch.setattr(winograd, "pays", lambda x, weight: True)
    plain, ours = pairs[kind][0], InferenceUNet(pairs[kind][0])
    for rows in (2, 1):
        compare(plain, ours, *inputs(rows, SIZES[size], guided=True))
    assert ours.mid_block.resnets[0].conv1.spread is not None and ours.down_blocks[0].downsamplers[0].spread is None
    assert sum(parameter.numel() for parameter in ours.parameters()) == sum(parameter.numel() for parameter in plain.parameters())


def test_it_is_chosen_for_many_tiles_and_wide_layers_only():
    def pays(rows, side, inputs, outputs):
        return winograd.pays(torch.empty(rows, inputs, side, side, device="meta"), torch.empty(outputs, inputs, 3, 3, device="meta"))

    assert pays(16, 4, 384, 192) and pays(2, 16, 960, 320) and pays(3, 9, 192, 192)
    assert not (pays(2, 4, 384, 192) or pays(16, 8, 128, 128) or pays(2, 16, 640, 640))
