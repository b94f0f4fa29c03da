"""The picture that --init-image names, and the mask over it, brought to the size that is drawn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ldmcli.config.generation import GenerateConfig
from ldmcli.config.starting import STRENGTH
from ldmcli.engine.sampling.start_files import open_picture
from ldmcli.engine.session import Session
from ldmcli.metrics.psnr import psnr
from ldmcli.outputs.manifest import checksum

SIDE = 8
"""Sides are multiples of this, as --width and --height are."""


@dataclass(frozen=True, eq=False)
class StartImage:
    """What pictures start from instead of noise alone, at the size that is drawn.

    pixels: (1, 3, H, W) in [-1, 1]; redrawn: (1, 1, h, w), 1 where --mask is white; facts: what pictures record of both files.
    """

    pixels: Tensor
    strength: float
    facts: dict[str, Any]
    redrawn: Tensor | None = None

    def psnr_of(self, picture: Image.Image) -> float:
        """Of a picture of this size against the one that is started from, both with 8 bits, in dB."""
        ours = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)[None]
        return round(psnr(ours, (self.pixels + 1) / 2 * 255, span=255).item(), 2)


def drawn_size(config: GenerateConfig, picture: Image.Image | None, session: Session) -> tuple[int, int]:
    """(width, height) in pixels. Without a picture what is not asked for is the model's own.

    With one its sides are those of the picture, rounded down as diffusers does; where the shorter side is longer than the model's own,
    that one is the model's and the other keeps the ratio. One side that is asked for gives the other.
    """
    native = session.native_size
    if picture is None:
        return config.width or native, config.height or native
    across, down = picture.size
    scale = min(1.0, native / min(across, down))
    if config.width or config.height:
        scale = config.width / across if config.width else (config.height or down) / down
    step = max(SIDE, session.vae.config.downscale)
    width, height = (max(int(side * scale + 1e-6) // step, 1) * step for side in (across, down))
    return config.width or width, config.height or height


def start_image(config: GenerateConfig, picture: Image.Image, size: tuple[int, int], session: Session) -> StartImage:
    """The picture of a config at this (width, height), stretched to it as diffusers does, with its mask. Raises as `open_picture`."""
    assert config.init_image is not None
    pixels = torch.from_numpy(np.asarray(picture.resize(size, Image.Resampling.LANCZOS)).copy()).permute(2, 0, 1)[None]
    facts: dict[str, Any] = {"init_image": file_facts(config.init_image)}
    redrawn = None
    if config.mask is not None:
        facts["mask"] = file_facts(config.mask)
        grey = open_picture(config.mask, "--mask").resize(size, Image.Resampling.LANCZOS).convert("L")
        white = torch.from_numpy(np.asarray(grey).copy()).float()[None, None] / 255 >= 0.5
        redrawn = F.interpolate(white.float(), session.latent_shape(*size)[1:])  # the nearest pixel, as in diffusers
    strength = STRENGTH if config.strength is None else config.strength
    return StartImage(pixels.float() / 255 * 2 - 1, strength, {**facts, "strength": strength}, redrawn)


def file_facts(path: Path) -> dict[str, str]:
    """Name and content of a file: no path, so that the record is the same wherever it lies."""
    return {"name": path.name, "sha256": checksum(path)}
