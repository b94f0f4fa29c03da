"""Picture files to square uint8 tensors: what is decoded, how it is converted, what is refused."""

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

MAX_PIXELS = 64_000_000
"""Larger pictures are refused from their header: a 48 kB PNG can hold 400 megapixels."""


class BadPicture(Exception):
    """This file cannot be used; the message says why."""


def read_square(path: Path, size: int) -> Tensor:
    """Decode, turn upright, put on white, scale the shorter side to `size` and crop the centre. Returns (3, size, size) uint8.

    Raises BadPicture.
    """
    square = ImageOps.fit(read_picture(path, at_least=2 * size), (size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1).contiguous()


def read_picture(path: Path, *, at_least: int | None = None) -> Image.Image:
    """Decode, turn upright and put on white: RGB, 8 bits. at_least: pixels that are enough, so that a large JPEG may be decoded smaller.

    Raises BadPicture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size warning; the limit here is lower
            with Image.open(path) as file:
                if file.width * file.height > MAX_PIXELS:
                    raise BadPicture(f"{file.width}x{file.height} pixels, more than {MAX_PIXELS}")
                if at_least is not None:
                    file.draft("RGB", (at_least, at_least))  # JPEG: at 1/2, 1/4 or 1/8, never below
                return on_white(ImageOps.exif_transpose(file))
    except BadPicture:
        raise
    except Exception as error:  # damaged files make Pillow raise almost anything, struct.error and RuntimeError among it
        raise BadPicture(str(error) or type(error).__name__) from error


def on_white(picture: Image.Image) -> Image.Image:
    """RGB, transparent parts white, 16-bit grey scaled to 8 bits (Pillow's own conversion would clip it)."""
    if picture.mode.startswith("I"):
        grey = np.asarray(picture, dtype=np.float64)
        sixteen = picture.mode != "I" or grey.max() > 255  # "I" has 32 bits and does not say how many are used
        scale = 255 / 65535 if sixteen else 1.0
        return Image.fromarray((grey * scale).round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return picture.convert("RGB")
