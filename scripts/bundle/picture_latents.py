"""Latents of the data set's pictures, for what is to be told of them before there is a U-Net."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ldmcli.data.cache import to_unit_range
from ldmcli.engine.parts import make_codec
from ldmcli.models.hashes import weights_hash
from ldmcli.models.loading import load_vae

AT_ONCE = 16


@torch.no_grad()
def latents_of(files: Sequence[Path], vae: Path) -> Tensor:
    """(N, C, h, w) float16, scaled as the U-Net learns them, of square pictures of one size."""
    codec = make_codec(load_vae(vae).eval())
    parts = []
    for first in range(0, len(files), AT_ONCE):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            parts.append(codec.encode(to_unit_range(torch.stack([pixels_of(file) for file in files[first : first + AT_ONCE]])))[0].half())
    return torch.cat(parts)


def pixels_of(file: Path) -> Tensor:
    """(3, H, W) uint8."""
    with Image.open(file) as picture:
        shown = picture.convert("RGB")
    return torch.frombuffer(bytearray(shown.tobytes()), dtype=torch.uint8).view(*shown.size[::-1], 3).permute(2, 0, 1)


def kept_latents(files: Sequence[Path], vae: Path, kept: Path) -> Tensor:
    """Those of latents_of, which are written to a file once; again where it is of other pictures, by their names, or of another VAE."""
    names = "\n".join(f"{file.parent.name}/{file.name}" for file in files)
    made_from = {"vae": weights_hash(vae, "vae"), "pictures": hashlib.sha256(names.encode()).hexdigest()}
    if kept.is_file():
        with safe_open(kept, "pt") as opened:
            if opened.metadata() == made_from:
                return opened.get_tensor("latents")
    latents = latents_of(files, vae)
    kept.parent.mkdir(parents=True, exist_ok=True)
    save_file({"latents": latents}, unfinished := kept.with_suffix(".partial"), metadata=made_from)
    os.replace(unfinished, kept)
    return latents
