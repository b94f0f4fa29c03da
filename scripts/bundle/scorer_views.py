"""How the scorer sees a picture while it learns: shifted, scaled, blurred, noisy, as a JPEG, and through the VAE with disturbed latents."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPImageProcessorPil

from ldmcli.data.cache import to_unit_range
from ldmcli.engine.parts import make_codec
from ldmcli.models.loading import load_vae
from ldmcli.models.source import BUNDLED
from ldmcli.outputs.images import to_uint8

SIDE = 48
"""Pixels of what the scorer sees."""
MEAN, STD = torch.tensor(CLIPImageProcessorPil.image_mean)[:, None, None], torch.tensor(CLIPImageProcessorPil.image_std)[:, None, None]


def variants(pixels: Tensor, model: Path = BUNDLED, seed: int = 0) -> list[Tensor]:
    """The pictures (N, 3, 64, 64) uint8 as they are, as JPEGs, and through the VAE with noise of up to 0.4 on their latents."""
    codec, noise = make_codec(load_vae(model)), torch.Generator().manual_seed(seed)
    jpegs = torch.stack([as_jpeg(picture, 25 + number % 50) for number, picture in enumerate(pixels)])
    drawn = []
    with torch.no_grad():
        for part in pixels.split(16):
            latents, _ = codec.encode(to_unit_range(part))
            spread = 0.4 * torch.rand(len(part), 1, 1, 1, generator=noise)
            pictures = codec.decode(latents + spread * torch.randn(latents.shape, generator=noise))
            drawn.append(to_uint8(pictures).permute(0, 3, 1, 2))
    return [pixels, jpegs, torch.cat(drawn)]


def as_jpeg(picture: Tensor, quality: int) -> Tensor:
    """(3, H, W) uint8 in and out."""
    file = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1)


def augmented(pixels: Tensor, noise: torch.Generator) -> Tensor:
    """(B, 3, 64, 64) uint8 -> (B, 3, SIDE, SIDE) as CLIP takes it: each shifted by up to 4
    pixels, scaled by 0.8 to 1.2 (the border goes on),
    half of them blurred, half noisy."""
    count = len(pixels)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=noise)

    zoom = uniform(0.8, 1.2)
    frame = torch.zeros(count, 2, 3)
    frame[:, 0, 0] = frame[:, 1, 1] = zoom
    frame[:, :, 2] = uniform(-0.12, 0.12, 2)
    grid = F.affine_grid(frame, [count, 3, SIDE, SIDE], align_corners=False)
    moved = F.grid_sample(pixels.float() / 255, grid, mode="bilinear", padding_mode="border", align_corners=False)
    blurred = F.avg_pool2d(F.pad(moved, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    moved = torch.lerp(moved, blurred, uniform(-1, 1, 1, 1, 1).clamp(min=0))
    moved = moved + uniform(-0.08, 0.08, 1, 1, 1).clamp(min=0) * torch.randn(moved.shape, generator=noise)
    return (moved.clamp(0, 1) - MEAN) / STD
