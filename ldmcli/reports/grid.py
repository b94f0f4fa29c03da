"""The pictures of a command on one sheet."""

from collections.abc import Callable, Sequence
from math import ceil, sqrt
from pathlib import Path
from typing import Any

from PIL import Image

from ldmcli.errors import LdmError
from ldmcli.records.pictures import ImageRecord
from ldmcli.records.words import counted
from ldmcli.reports.sheets import contact_sheet
from ldmcli.runtime.pictures import OUR_PIXELS, BadPicture, open_picture

MOST_PICTURES, CELL = 100, 256
"""Of a larger command the first hundred; no picture larger than this many pixels, none smaller than half of it."""


def grid_sheet(records: Sequence[ImageRecord]) -> Image.Image:
    """Read the pictures from disk and lay them out, each with what tells it from the others under it. Raises LdmError."""
    records = records[:MOST_PICTURES]
    side, largest = cell_side(records)
    cells = [read_cell(record, side, largest) for record in records]
    prompts = len({record.prompt for record in records})
    row = len(records) // prompts  # a row for each prompt, where that fits
    columns = row if row > 1 and len(records) == row * prompts and row <= 10 else ceil(sqrt(len(records)))
    return contact_sheet(cells, columns, labels=_labels(records))


def cell_side(records: Sequence[ImageRecord]) -> tuple[int, int]:
    """(the side of the square that every picture gets, the longest side of any of them), both in pixels."""
    largest = max(max(record.width, record.height) for record in records)
    return min(CELL, largest * max(1, CELL // 2 // largest)), largest


def read_cell(record: ImageRecord, side: int, largest: int) -> Image.Image:
    """A picture from its file, on its square. Raises LdmError where it cannot be read."""
    try:
        with open_picture(Path(record.path), max_pixels=OUR_PIXELS) as picture:
            return _fitted(picture.convert("RGB"), side / largest, side)
    except (OSError, BadPicture) as error:
        raise LdmError(f"--grid cannot read {record.path}: {getattr(error, 'strerror', None) or error}.") from error


def _fitted(picture: Image.Image, scale: float, side: int) -> Image.Image:
    """On a white square of this side."""
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    filters = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    cell = Image.new("RGB", (side, side), "white")
    cell.paste(picture.resize(size, filters), ((side - size[0]) // 2, (side - size[1]) // 2))
    return cell


def _labels(records: Sequence[ImageRecord]) -> list[str]:
    """The settings that are not the same for all, the prompt at the end because it is the longest."""
    shown: dict[str, Callable[[Any], str]] = {
        "seed": str, "scheduler": str, "steps": lambda steps: counted(steps, "step"), "cfg": "cfg {:g}".format, "prompt": str,
    }  # fmt: skip
    differing = [name for name in shown if len({getattr(record, name) for record in records}) > 1] or ["prompt"]
    return [" ".join(shown[name](getattr(record, name)) for name in differing) for record in records]
