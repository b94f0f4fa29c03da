"""Tensors to pictures as diffusers does it."""

import numpy as np
import pytest
import torch

from ldmcli.errors import NonFinite
from ldmcli.outputs.images import to_pillow, to_uint8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_pixels_are_those_of_diffusers(dtype):
    from diffusers.image_processor import VaeImageProcessor

    generator = torch.Generator().manual_seed(0)
    pictures = (torch.randn(3, 3, 16, 16, generator=generator) * 1.2).to(dtype)
    pictures[0, 0] = torch.linspace(-1, 1, 256).reshape(16, 16).to(dtype)
    wanted = VaeImageProcessor().postprocess(pictures.float(), output_type="pil")
    ours = to_pillow(pictures)
    assert [picture.mode for picture in ours] == ["RGB"] * 3
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(ours, wanted, strict=True))


def test_every_level_of_grey_survives_the_way_there_and_back():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(to_uint8(levels.float() / 127.5 - 1).permute(0, 3, 1, 2), levels)


def test_out_of_range_is_clipped():
    assert to_uint8(torch.tensor([-9.0, 9.0, 0.0]).reshape(1, 3, 1, 1)).flatten().tolist() == [0, 255, 128]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_never_painted(value):
    """diffusers would write a black picture."""
    pictures = torch.zeros(2, 3, 4, 4)
    pictures[1, 2, 3, 0] = value
    with pytest.raises(NonFinite, match="NaN or infinity") as caught:
        to_pillow(pictures)
    assert caught.value.exit_code == 4
