"""A small U-Net and what it is called with, for the engines that it is exported to."""

import torch

from ldmcli.networks.attention import TextContext
from ldmcli.networks.unet import UNetConfig

SMALL = UNetConfig(
    sample_size=8, in_channels=4, out_channels=4, block_out_channels=(32, 64), layers_per_block=1, cross_attention_dim=16,
    attention_head_dim=4, norm_num_groups=8, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
)  # fmt: skip


def inputs(rows=2, size=(8, 8), length=5, *, masked=False, apart=False):
    """Of a guided call, whose halves are alike; apart: of pictures and timesteps of their own."""
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(rows, length, SMALL.cross_attention_dim, generator=generator)
    mask = (torch.arange(length) < 3).expand(rows, length) if masked else None
    steps = torch.arange(rows) * 200.0 + 100 if apart else torch.full((rows,), 500.0)
    x = torch.randn(rows, 4, *size, generator=generator)
    return x if apart else x[: rows // 2].repeat(2, 1, 1, 1), steps, TextContext(states, mask, remember=True)


CASES = [{}, {"rows": 3, "size": (8, 7), "masked": True, "apart": True}]
