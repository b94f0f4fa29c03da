"""The one door for pictures: which formats, from what kind of file, how large. Nothing else here calls Pillow's open (a test looks)."""

import os
import stat
import warnings
from functools import cache
from pathlib import Path
from typing import BinaryIO

from PIL import Image

FORMATS = (
    "PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "DIB", "ICO", "PPM", "QOI", "TGA", "PCX", "SGI", "PSD", "DDS",
)  # fmt: skip
"""What Pillow decodes by itself. It would hand others to a program (EPS to Ghostscript), whatever the file calls itself."""

MAX_PIXELS = 64_000_000
"""Larger pictures are refused from their header: a 48 kB PNG can hold 400 megapixels."""

OUR_PIXELS = 2**28
"""The same for what `ldm` itself may have drawn and enlarged."""

MAX_BYTES = 2**28
"""Of a file or a member of a shard; MAX_PIXELS of 8 bits have fewer, whatever the format."""

MAX_NOTES = 2**24
"""Bytes of one chunk of a PNG that holds no pixels: Pillow reads it whole before anybody asks."""

PNG = b"\x89PNG\r\n\x1a\n"


class BadPicture(ValueError):
    """This file cannot be used; the message says why."""


@cache
def formats() -> tuple[str, ...]:
    """Those of FORMATS that this Pillow was built with."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def open_picture(source: Path | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read the header; the first frame is decoded when it is asked for. To be closed, or used in a `with`.

    Raises BadPicture for what is no regular file, too many bytes or too many pixels, OSError for a file that is not there or no picture,
    and whatever else Pillow raises on damaged ones.
    """
    if isinstance(source, Path):
        found = os.stat(source)
        if not stat.S_ISREG(found.st_mode):  # opening a FIFO would wait for ever
            raise BadPicture("not a regular file")
        most = MAX_BYTES if max_pixels <= MAX_PIXELS else max(MAX_BYTES, 4 * max_pixels)  # RGBA that nothing made smaller
        if found.st_size > most:
            raise BadPicture(f"{found.st_size} bytes, more than {most}")
        with source.open("rb") as file:
            _check_chunks(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own size warning; the limit here is lower
        picture = Image.open(source, formats=formats())
    if picture.width * picture.height > max_pixels:
        picture.close()
        raise BadPicture(f"{picture.width}x{picture.height} pixels, more than {max_pixels}")
    return picture


def _check_chunks(file: BinaryIO) -> None:
    """Raise BadPicture for a PNG with a chunk of notes that is too long. What is no PNG, or a damaged one, is left to Pillow."""
    if file.read(len(PNG)) != PNG:
        return
    while len(head := file.read(8)) == 8:
        length, kind = int.from_bytes(head[:4]), head[4:]
        if length > MAX_NOTES and kind not in (b"IDAT", b"fdAT"):
            raise BadPicture(f"a chunk {kind!r} of {length} bytes, more than {MAX_NOTES}")
        file.seek(length + 4, os.SEEK_CUR)  # the chunk and its checksum
