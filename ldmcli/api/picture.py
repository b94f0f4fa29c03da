"""A picture that knows how it was drawn."""

import json
import os
from typing import IO, Any

from PIL import Image

from ldmcli.outputs.naming import ENDINGS
from ldmcli.outputs.picture_files import SAVING, saving_options

TEXTS = ("parameters", "ldm")
"""Keys of `info` that are written into the file: for other tools, and everything as JSON."""


class Picture(Image.Image):
    """A Pillow picture, RGB. What Pillow makes of it (a crop, a copy, another size) is a plain one that is saved without the record."""

    @property
    def record(self) -> dict[str, Any]:
        """Everything that the picture depends on: prompt, seed, model, scheduler, ... as `ldm generate` records it and replays it."""
        return dict(json.loads(self.info["ldm"]))

    def save(self, fp: str | bytes | os.PathLike[str] | os.PathLike[bytes] | IO[bytes], format: str | None = None, **params: Any) -> None:
        """As Pillow's, with the record inside of PNG, WebP and JPEG: the very bytes that `ldm generate` writes. params win over ours.

        So `ldm generate --from-image FILE` draws it again. pnginfo=None, or exif=b"" and xmp=b"", leave record and XMP out.
        """
        ending = os.path.splitext(os.fsdecode(fp))[1].lower() if isinstance(fp, str | bytes | os.PathLike) else ""
        kinds = {ours["format"]: kind for kind, ours in SAVING.items()}
        kind = kinds.get({"JPG": "JPEG"}.get(format.upper(), format.upper())) if format else ENDINGS.get(ending)
        if kind is not None and all(key in self.info for key in TEXTS):
            params = {**saving_options(kind, {key: self.info[key] for key in TEXTS}), **params}
            format = params.pop("format")
        super().save(fp, format, **params)


def with_record(image: Image.Image, texts: dict[str, str]) -> Picture:
    """texts: what `picture_texts` returned."""
    picture = Picture()
    picture.__setstate__(image.__getstate__())  # what pickle does, so that no private part of Pillow is named
    picture.info = {key: text for key, text in texts.items()}
    return picture
