"""Decoding and encoding in tiles against diffusers' own, and against the whole picture."""

import pytest
import torch
from diffusers import AutoencoderKL

from ldmcli.autoencoder.tiling import decode_in_tiles, encode_in_tiles
from ldmcli.networks.configs import VAEConfig
from ldmcli.networks.vae import VAE

SIZES = {"a square": (28, 28), "wide": (16, 45), "tall": (33, 8), "odd sides": (29, 41), "one tile": (16, 12)}
OPTIONS = {
    "down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3, "block_out_channels": (8, 8, 16),
    "norm_num_groups": 4, "sample_size": 64,
}  # fmt: skip


@pytest.fixture(scope="module")
def vaes():
    """The same random weights in diffusers' network and in ours; a tile is 64 pixels, 16 latent pixels."""
    torch.manual_seed(0)
    theirs = AutoencoderKL(**OPTIONS).eval().requires_grad_(False)
    ours = VAE(VAEConfig(**OPTIONS)).eval().requires_grad_(False)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@pytest.mark.parametrize("size", SIZES)
def test_tiles_are_put_together_as_by_diffusers(vaes, size):
    theirs, ours = vaes
    latents = torch.randn(2, 4, *SIZES[size])
    theirs.enable_tiling()
    expected = theirs.decode(latents).sample
    assert (decode_in_tiles(ours.decode, latents, side=16, scale=4) - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("size", SIZES)
def test_a_picture_is_encoded_in_tiles_as_by_diffusers(vaes, size):
    theirs, ours = vaes
    height, width = SIZES[size]
    pictures = torch.randn(2, 3, 4 * height, 4 * width)
    theirs.enable_tiling()
    expected = theirs.encode(pictures).latent_dist

    def encode(tile):
        posterior = ours.encode(tile)
        return torch.cat([posterior.mean, posterior.logvar], dim=1)

    mean, logvar = encode_in_tiles(encode, pictures, side=16, scale=4).chunk(2, dim=1)
    assert (mean - expected.mean).abs().max() <= 1e-5 and (logvar - expected.logvar).abs().max() <= 1e-5


def test_a_decoder_that_looks_no_further_than_the_overlap_gives_the_whole_picture(vaes):
    def local(latents):
        return latents[:, :3].repeat_interleave(4, -1).repeat_interleave(4, -2)

    latents = torch.randn(1, 4, 37, 53)
    torch.testing.assert_close(decode_in_tiles(local, latents, side=16, scale=4), local(latents))


def test_no_call_sees_more_than_a_tile(vaes):
    seen = []

    def watched(latents):
        seen.append(tuple(latents.shape[-2:]))
        return vaes[1].decode(latents)

    tiled = decode_in_tiles(watched, torch.randn(1, 4, 24, 40), side=16, scale=4)
    assert tiled.shape == (1, 3, 96, 160) and len(seen) == 8 and max(max(size) for size in seen) == 16
