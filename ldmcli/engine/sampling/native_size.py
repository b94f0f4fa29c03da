"""Pictures larger than those that a model was trained on: what is said of them."""

import math
from collections.abc import Iterable, Iterator

from ldmcli.config.generation import LARGEST_UPSCALE
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.session import Session
from ldmcli.records.notes import Note

TIMES = 2
"""A U-Net sees no further than it learned to: beyond this many times its own size it repeats itself, or draws a texture."""


def too_large(session: Session, settings: Iterable[SamplingSettings]) -> Iterator[Note]:
    """A warning for each size that is beyond TIMES the model's own on either side, with one that works and is enlarged."""
    native = session.native_size
    for width, height in dict.fromkeys((one.width, one.height) for one in settings):
        if max(width, height) > TIMES * native:
            yield Note(f"{width} x {height} is far beyond the {native} x {native} pixels that this model was trained on: expect a texture, "
                       f"or the same thing many times; {smaller(width, height, native, session.vae.config.downscale)} works",
                       warning=True)  # fmt: skip


def smaller(width: int, height: int, native: int, scale: int) -> str:
    """The options for a picture of the model's own size, enlarged to about as many pixels. scale: of the VAE."""
    times = min(math.ceil(max(width, height) / native), LARGEST_UPSCALE)
    across, down = (max(round(side / times / scale), 1) * scale for side in (width, height))
    return f"--size {across}x{down} --upscale {times}"
