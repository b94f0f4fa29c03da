"""Latents of pictures: what the U-Net learns, and kept for no other VAE or pictures."""

import sys
from pathlib import Path

import torch
from PIL import Image
from torch.testing import assert_close

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bundle"))

import picture_latents  # noqa: E402

from ldmcli.models.loading import load_vae  # noqa: E402
from ldmcli.models.saving import save_component  # noqa: E402
from ldmcli.models.source import BUNDLED  # noqa: E402


def test_latents_of_pictures_are_those_that_the_u_net_learns(tmp_path):
    pixels = torch.randint(0, 256, (20, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    files = [tmp_path / f"{number}.png" for number in range(len(pixels))]
    for file, picture in zip(files, pixels, strict=True):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(file)
    vae = load_vae(BUNDLED)
    wanted = vae.encode(pixels / 127.5 - 1).mean * vae.config.scaling_factor
    found = picture_latents.kept_latents(files, BUNDLED, tmp_path / "kept" / "latents.safetensors")
    assert found.dtype == torch.float16
    assert_close(found.float(), wanted, atol=0.03 * wanted.abs().max().item(), rtol=0)  # bf16


def test_latents_are_kept_for_their_vae_and_their_pictures_alone(tmp_path):
    files, kept, other = [tmp_path / "0.png", tmp_path / "1.png"], tmp_path / "kept" / "latents.safetensors", tmp_path / "other"
    for file, colour in zip(files, ("red", "blue"), strict=True):
        Image.new("RGB", (64, 64), colour).save(file)
    both = picture_latents.kept_latents(files, BUNDLED, kept)
    files[0].unlink()
    assert torch.equal(picture_latents.kept_latents(files, BUNDLED, kept), both), "read again"
    one = picture_latents.latents_of(files[1:], BUNDLED)
    assert torch.equal(picture_latents.kept_latents(files[1:], BUNDLED, kept), one), "of other pictures"
    network = load_vae(BUNDLED)
    with torch.no_grad():
        network.quant_conv.weight.mul_(2)
        network.quant_conv.bias.mul_(2)
    save_component(other, "vae", network.config, network.state_dict())
    assert_close(picture_latents.kept_latents(files[1:], other, kept).float(), 2 * one.float(), atol=0.03, rtol=0.01)
