"""Tensors to pictures."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ldmcli.errors import NonFinite


def to_uint8(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> (B, H, W, 3) uint8, rounded as diffusers does. Raises NonFinite."""
    if not pictures.isfinite().all():
        raise NonFinite("the decoded picture holds NaN or infinity.", hint="Try --dtype fp32.")
    unit = (pictures.float() / 2 + 0.5).clamp(0, 1)
    return (unit * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu()


def to_pillow(pictures: Tensor) -> list[Image.Image]:
    """(B, 3, H, W) in [-1, 1] -> one Pillow picture each."""
    return [Image.fromarray(np.ascontiguousarray(array.numpy())) for array in to_uint8(pictures)]


def enlarge(picture: Image.Image, times: int, resample: str) -> Image.Image:
    """resample: nearest or lanczos."""
    if times == 1:
        return picture
    filters = {"nearest": Image.Resampling.NEAREST, "lanczos": Image.Resampling.LANCZOS}
    return picture.resize((picture.width * times, picture.height * times), filters[resample])
