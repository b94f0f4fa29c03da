"""Looks at a picture while it is drawn, and changes nothing about it."""

import io
import time
from collections.abc import Iterator

from PIL import Image

from ldmcli.diffusion.loop import DenoiseStep
from ldmcli.engine.session import Session
from ldmcli.errors import NonFinite
from ldmcli.outputs.images import to_pillow
from ldmcli.records.pictures import Preview

SHARE, SHORTEST_S = 0.2, 0.1
"""At most this share of the time goes into looking, and no two looks are closer than this."""


class PreviewWatcher:
    """Decodes what the model predicts for the first picture of a batch, at the first call and then as often as it is cheap enough."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.next_look = 0.0

    def look(self, step: DenoiseStep) -> Iterator[Preview]:
        """A Preview, unless it is too early for the next."""
        began = time.perf_counter()
        if began < self.next_look:
            return
        try:
            picture = to_pillow(self.session.decode(step.denoised[:1]))[0]
        except NonFinite:  # half precision may overflow on the way and not at the end
            return
        png = as_png(picture)
        now = time.perf_counter()
        self.next_look = now + max(SHORTEST_S, (now - began) * (1 / SHARE - 1))
        yield Preview(png)


def as_png(picture: Image.Image) -> bytes:
    """The bytes of a file, written as fast as can be."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()
