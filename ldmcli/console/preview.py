"""A progress bar with a picture above it, in whatever way the terminal can show one."""

import io
import logging
from collections.abc import Iterable
from typing import Any

from rich.console import RenderableType
from rich.progress import Progress

from ldmcli.runtime.pictures import OUR_PIXELS, open_picture

SMALLEST_ROWS, MOST_ROWS = 4, 24
"""Height of the picture in lines: half of the window, within these."""


class ProgressWithPicture(Progress):
    """Without a picture it is Rich's own progress bar."""

    picture: Any = None
    finished: Any = None
    """The last one that is to stay."""

    def show_picture(self, png: bytes, *, keep: bool = False) -> None:
        """Put this picture in the place of the last one. The library asks the terminal once: kitty's protocol, sixel or half blocks.

        keep: see `leave_picture`.
        """
        logging.getLogger("textual_image").setLevel(logging.ERROR)  # it would complain into the picture that a terminal did not answer
        from textual_image.renderable import Image as Drawn

        with open_picture(io.BytesIO(png), max_pixels=OUR_PIXELS) as opened:
            rows = max(SMALLEST_ROWS, min(MOST_ROWS, self.console.height // 2))
            drawn = Drawn(opened.convert("RGB"), width="auto", height=rows)
        self.console.measure(drawn)  # asks for the size of a character, which the thread that refreshes the screen must not do
        before, self.picture = self.picture, drawn
        self.finished = drawn if keep else self.finished
        self.refresh()
        if before is not None:
            before.cleanup()  # kitty keeps pictures until it is told otherwise

    def leave_picture(self) -> None:
        """Print the last finished picture where the bar was."""
        if self.finished is not None:
            self.console.print(self.finished)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The picture first, then the bar."""
        if self.picture is not None:
            yield self.picture
        yield from super().get_renderables()
