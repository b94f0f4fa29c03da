"""The files that --init-image and --mask name, opened. Imports no torch, so that one that is no picture is told at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from ldmcli.data.pictures import check_picture, read_picture
from ldmcli.engine.requests import RequestList
from ldmcli.errors import LdmError, NotFound
from ldmcli.runtime.pictures import BadPicture


def open_picture(path: Path, option: str) -> Image.Image:
    """RGB, upright. Raises NotFound, and LdmError for a file that is no picture or too large."""
    with _named(path, option):
        return read_picture(path)


def check_start(requests: RequestList) -> None:
    """Raise as `open_picture` where all pictures start from one that shows in its header to be none. Where there are several, one that
    cannot be used is a failure of its own, beside which the others are drawn."""
    named = {(config.init_image, config.mask) for config in requests.configs}
    if len(named) > 1:
        return
    for path, option in zip(named.pop(), ("--init-image", "--mask"), strict=True):
        if path is not None:
            with _named(path, option):
                check_picture(path)


@contextmanager
def _named(path: Path, option: str) -> Iterator[None]:
    if not path.is_file():
        raise NotFound(f"{option} {path}: no such picture.")
    try:
        yield
    except BadPicture as error:
        raise LdmError(f"{option} {path}: not a readable picture: {error}", hint="Name a PNG, JPEG or WebP file.") from error
