"""Picture files to square arrays of bytes: what is decoded, how it is converted, what is refused.

Processes that only read pictures import this without torch, so that they start at once.
"""

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ldmcli.data.captioned import CaptionedImage
from ldmcli.data.parquet import read_cell
from ldmcli.errors import LdmError
from ldmcli.runtime.pictures import MAX_BYTES, BadPicture, open_picture
from ldmcli.runtime.remote_cache import opened

if TYPE_CHECKING:
    from torch import Tensor

CROPS = {"center": (0.5,), "random": (0.0, 1 / 3, 2 / 3, 1.0), "none": (0.5,)}
"""Which squares of a picture are looked at: where they lie along its longer side. `none` squeezes the whole picture into one."""
DECODING = 1
"""Part of every cache's name; a change of what a file's pixels are must count it up."""


def read_squares(picture: CaptionedImage, size: int, crop: str) -> NDArray[np.uint8]:
    """The squares of a picture that `crop` names, (V, 3, size, size). Raises BadPicture."""
    image = _read(_body(picture), at_least=2 * size)
    return np.stack([_square(image, size, crop, place) for place in CROPS[crop]])


def read_square(path: Path, size: int) -> "Tensor":
    """Decode, turn upright, put on white, scale the shorter side to `size` and crop the centre. Returns (3, size, size) uint8.

    Raises BadPicture.
    """
    import torch

    return torch.from_numpy(_square(read_picture(path, at_least=2 * size), size, "center", 0.5))


def _square(image: Image.Image, size: int, crop: str, place: float) -> NDArray[np.uint8]:
    if crop == "none":
        square = image.resize((size, size), Image.Resampling.LANCZOS)
    else:
        square = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS, centering=(place, place))
    return np.asarray(square).transpose(2, 0, 1).copy()


def read_picture(path: Path, *, at_least: int | None = None) -> Image.Image:
    """Decode, turn upright and put on white: RGB, 8 bits. at_least: pixels that are enough, so that a large JPEG may be decoded smaller.

    Raises BadPicture.
    """
    return _read(lambda: path, at_least=at_least)


def read_captioned(picture: CaptionedImage) -> Image.Image:
    """See read_picture; of a file or a shard's member."""
    return _read(_body(picture), at_least=None)


def check_picture(path: Path) -> None:
    """Raise BadPicture where `read_picture` would, as far as the header tells."""
    with _opened(lambda: path):
        pass


def _read(body: Callable[[], Path | BinaryIO], *, at_least: int | None) -> Image.Image:
    """See read_picture. body: where the picture lies, or its bytes."""
    with _opened(body) as file:
        if at_least is not None:
            file.draft("RGB", (at_least, at_least))  # JPEG: at 1/2, 1/4 or 1/8, never below
        return on_white(ImageOps.exif_transpose(file))


@contextmanager
def _opened(body: Callable[[], Path | BinaryIO]) -> Iterator[Image.Image]:
    """A picture whose header was read. Any failure of Pillow in the block is a BadPicture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size warning; the limit here is lower
            with open_picture(body()) as file:
                yield file
    except (BadPicture, LdmError):  # LdmError: of a shard that cannot be had, which is no fault of the picture
        raise
    except Exception as error:  # damaged files make Pillow raise almost anything, struct.error and RuntimeError among it
        raise BadPicture(str(error) or type(error).__name__) from error


def _body(picture: CaptionedImage) -> Callable[[], Path | BinaryIO]:
    """What `_read` takes."""
    if picture.cell is not None:
        return lambda: io.BytesIO(read_cell(picture))
    span = picture.span
    return (lambda: picture.path) if span is None else (lambda: io.BytesIO(_bytes(picture.path, span)))


def _bytes(path: Path, span: tuple[int, int]) -> bytes:
    if span[1] > MAX_BYTES:
        raise BadPicture(f"{span[1]} bytes, more than {MAX_BYTES}")
    with opened(path) as file:
        file.seek(span[0])
        return file.read(span[1])


def on_white(picture: Image.Image) -> Image.Image:
    """RGB, transparent parts white, 16-bit grey scaled to 8 bits (Pillow's own conversion would clip it).

    CMYK is converted without a colour profile. Raises BadPicture for floating point, whose white is not defined.
    """
    if picture.mode == "F":
        raise BadPicture("floating-point pixels, which do not say what white is")
    if picture.mode.startswith("I"):
        grey = np.asarray(picture, dtype=np.float64)
        sixteen = picture.mode != "I" or grey.max() > 255  # "I" has 32 bits and does not say how many are used
        scale = 255 / 65535 if sixteen else 1.0
        return Image.fromarray((grey * scale).round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return picture.convert("RGB")
