"""Which files an earlier command of ours has written, by what they say themselves: nothing else is ever written over."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from ldmcli.outputs.picture_files import read_texts, sheet_kind
from ldmcli.runtime.pictures import OUR_PIXELS, open_picture

DECIDING = ("prompt", "seed", "unet_sha256")
"""Keys of a picture's record that tell whose it is."""


def is_free(path: Path) -> bool:
    """Whether nothing is lost when a file of this name is written: there is none, or an empty one. A link is something."""
    try:
        found = os.lstat(path)
    except OSError:
        return True
    return stat.S_ISREG(found.st_mode) and not found.st_size


def is_picture_of(path: Path, facts: dict[str, Any]) -> bool:
    """Whether a file records that it is the picture of these facts, damaged as it may be otherwise."""
    try:
        record = json.loads(_texts(path).get("ldm", "null"))
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and "sheet" not in record and all(record.get(key) == facts[key] for key in DECIDING)


def is_sheet(path: Path) -> bool:
    """Whether a file says that it is a sheet or an animation of ours."""
    return sheet_kind(_texts(path)) is not None


def _texts(path: Path) -> dict[str, str]:
    """Of a plain file; none of what is no picture."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return {}
        with open_picture(path, max_pixels=OUR_PIXELS) as picture:
            return read_texts(picture)
    except Exception:  # whatever Pillow raises on damage: then it is not ours
        return {}
