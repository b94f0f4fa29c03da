"""A picture on its way from noise: strips, animations and single frames of what the model predicted at each call."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ldmcli.errors import LdmError
from ldmcli.outputs.picture_files import encode_picture, sheet_comment
from ldmcli.outputs.provenance import with_xmp
from ldmcli.reports.sheets import contact_sheet, save_sheet
from ldmcli.runtime.files import replace_file

STRIP_FRAMES = 8
FRAME_MS, LAST_MS = 120, 1500


def wanted_calls(kind: str, total: int) -> list[int]:
    """Which of `total` U-Net calls to keep: all of them, or for a strip up to eight from the first to the last."""
    return evenly(total, STRIP_FRAMES if kind == "strip" else total)


def evenly(total: int, most: int) -> list[int]:
    """Up to `most` of the numbers 0 to total - 1, from the first to the last."""
    if total <= most:
        return list(range(total))
    return [round(i * (total - 1) / (most - 1)) for i in range(most)]


def save_progress(kind: str, frames: Sequence[tuple[float, Image.Image]], target: Path, *, provenance: bool = True) -> None:
    """Write the frames, (timestep, picture) in order: a picture for a strip, an animation for a gif, else a folder. Raises LdmError.

    provenance: see encode_picture.
    """
    try:
        _save(kind, frames, target, provenance=provenance)
    except OSError as error:
        raise LdmError(f"cannot write {target}: {error.strerror or error}.", hint="Is the disk full?") from error


def animation(pictures: Sequence[Image.Image], *, provenance: bool = True) -> bytes:
    """A GIF that runs again and again, and rests at the last picture. provenance: see encode_picture."""
    buffer, durations = io.BytesIO(), [FRAME_MS] * (len(pictures) - 1) + [LAST_MS]
    pictures[0].save(
        buffer, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0, comment=sheet_comment("animation")
    )
    return with_xmp(buffer.getvalue()) if provenance else buffer.getvalue()


def _save(kind: str, frames: Sequence[tuple[float, Image.Image]], target: Path, *, provenance: bool) -> None:
    timesteps, pictures = [t for t, _ in frames], [frame for _, frame in frames]
    if kind == "strip":
        strip = contact_sheet(pictures, columns=len(frames), labels=[f"t = {t:.0f}" for t in timesteps])
        save_sheet(strip, target, "strip", provenance=provenance)
    elif kind == "gif":
        replace_file(target, animation(pictures, provenance=provenance))
    else:
        for old in target.glob("[0-9][0-9][0-9]_t*.png"):
            old.unlink()
        for number, (t, frame) in enumerate(frames):
            replace_file(target / f"{number:03d}_t{t:.0f}.png", encode_picture(frame, "png", {} if provenance else None))
