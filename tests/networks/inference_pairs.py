"""Networks of every kind that an inference copy is made of, inputs for them, and what equal answers are."""

import torch

from ldmcli.networks.attention import TextContext

TOLERANCE = 1e-5
"""Of the largest number of the answer."""

SD_1 = {
    "block_out_channels": (32, 32, 64, 64),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "layers_per_block": 2,
    "norm_num_groups": 8,
    "cross_attention_dim": 24,
    "attention_head_dim": 8,
}
KINDS = {
    "SD 1.x": SD_1,
    "SD 2.x": {**SD_1, "attention_head_dim": (1, 1, 2, 2), "use_linear_projection": True, "upcast_attention": True},
    "bundled": {
        "block_out_channels": (32, 64),
        "down_block_types": ("CrossAttnDownBlock2D",) * 2,
        "up_block_types": ("CrossAttnUpBlock2D",) * 2,
        "layers_per_block": 1,
        "cross_attention_dim": 24,
        "attention_head_dim": 4,
    },
    "attention late, two layers, centred": {
        "block_out_channels": (32, 64),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "cross_attention_dim": 24,
        "attention_head_dim": 4,
        "transformer_layers_per_block": 2,
        "center_input_sample": True,
    },
}
SIZES = {"a square": (8, 8), "odd sides": (9, 11)}


def noise(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_values(network):
    """In norms and biases too."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network.eval().requires_grad_(False)


@torch.no_grad()
def close(ours, theirs):
    assert ours.shape == theirs.shape and ours.isfinite().all()
    assert (ours - theirs).abs().max() <= TOLERANCE * theirs.abs().max()


def inputs(rows, size, *, guided, masked=False):
    """Latents, timesteps and context of a call; guided: the second half is the first one with another text."""
    latents = noise(rows, 4, *size)
    states, mask = noise(2 * rows if guided else rows, 7, 24, seed=2), None
    if masked:
        mask = torch.arange(7)[None, :] < torch.arange(len(states))[:, None] % 7 + 1
    latents = torch.cat([latents, latents]) if guided else latents
    return latents, torch.tensor(981.0).expand(len(latents)), (states, mask)


@torch.no_grad()
def compare(plain, ours, latents, timesteps, text):
    wanted = plain(latents, timesteps, TextContext(*text))
    context = TextContext(*text, remember=True)
    for _ in range(2):  # with keys and values still to be made, and kept
        close(ours(latents, timesteps, context), wanted)
