"""Which files are pictures, told by their names: what Pillow opens, and what it does not although it is a picture."""

import os
from functools import cache

from PIL import Image

from ldmcli.runtime.pictures import formats

CLOSED = frozenset(".heic .heif .hif .jxl .svg .svgz .exr .hdr .dng .cr2 .cr3 .nef .arw .orf .rw2 .raf".split())
"""Endings of pictures that Pillow alone does not open."""


@cache
def openable() -> frozenset[str]:
    """The endings, with their dot, of what Pillow opens here: .jpg and .jfif, .gif, .tif and, if it was built with it, .avif."""
    known = {*formats(), "MPO"}  # the JPEG reader opens those
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in known)


def ending_of(name: str) -> str:
    """ "a/B.b.JPG" -> ".jpg"."""
    return os.path.splitext(name)[1].lower()


def is_picture(name: str) -> bool:
    """Whether Pillow opens files of this ending."""
    return ending_of(name) in openable() and not os.path.basename(name).startswith(".")
