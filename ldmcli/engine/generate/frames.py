"""--frames-as: the frames from one picture to another as one file."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from ldmcli.engine.jobs import Job
from ldmcli.errors import LdmError
from ldmcli.outputs.output_plan import OutputPlan, write_beside
from ldmcli.outputs.picture_files import encode_picture, sheet_texts
from ldmcli.records.pictures import ImageRecord
from ldmcli.reports.progressive import animation
from ldmcli.reports.sheets import contact_sheet
from ldmcli.runtime.pictures import OUR_PIXELS, BadPicture, open_picture

COLUMNS = 8
"""Of a strip; further frames begin a row of their own."""


def write_frames(
    kind: str, jobs: Sequence[Job], done: dict[int, ImageRecord], outputs: OutputPlan, *, resumed: bool, provenance: bool,
) -> Iterator[Path]:  # fmt: skip
    """A file for each prompt, named by the numbers of its frames. kind: strip or gif; provenance: see encode_picture. Frames that failed
    are left out."""
    sequences: dict[int, list[int]] = {}
    for job in jobs:
        if job.sequence is not None:
            sequences.setdefault(job.sequence, []).append(job.number)
    for numbers in sequences.values():
        pictures = [_read(done[number].path) for number in numbers if number in done]
        if not pictures:
            continue
        if kind == "gif":
            body, ending = animation(pictures, provenance=provenance), "gif"
        else:
            strip = contact_sheet(pictures, min(len(pictures), COLUMNS))
            body, ending = encode_picture(strip, "png", sheet_texts("strip"), provenance=provenance), "png"
        first, last = (outputs.first + number for number in (numbers[0], numbers[-1]))
        yield write_beside(body, outputs.folder / f"{first:05}-{last:05}.frames.{ending}", replace=resumed)


def _read(path: str) -> Image.Image:
    try:
        with open_picture(Path(path), max_pixels=OUR_PIXELS) as picture:
            return picture.convert("RGB")
    except (OSError, BadPicture) as error:
        raise LdmError(f"--frames-as cannot read {path}: {getattr(error, 'strerror', None) or error}.") from error
