"""What a run tells TensorBoard, beside its log: the numbers of log.jsonl as curves, the sample sheets as pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ldmcli.runtime.pictures import OUR_PIXELS, open_picture


class Tracker:
    """One that tells nobody."""

    def scalars(self, row: dict[str, float]) -> None:
        """A line of the log."""

    def sheet(self, path: Path, step: int) -> None:
        """A sample sheet that was written."""

    def flush(self) -> None:
        """To the disk: a checkpoint that is there has its points."""


class TensorBoard(Tracker):
    """Event files in `folder`. Points of steps after `step`, which a resumed run does again, are taken back (purge_step)."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(str(folder), purge_step=step + 1)

    def scalars(self, row: dict[str, float]) -> None:
        """A curve for each number."""
        for name, value in row.items():
            if name != "step":
                self.writer.add_scalar(name, value, int(row["step"]))

    def sheet(self, path: Path, step: int) -> None:
        """As one picture."""
        with open_picture(path, max_pixels=OUR_PIXELS) as picture:
            self.writer.add_image(path.parent.name, np.asarray(picture.convert("RGB")), step, dataformats="HWC")

    def flush(self) -> None:
        """Otherwise up to two minutes of points would die with the process."""
        self.writer.flush()


@contextmanager
def tracking(name: str | None, run: Path, step: int) -> Iterator[Tracker]:
    """The tracker that --tracker names, for a run that goes on after `step`."""
    if name is None:
        yield Tracker()
        return
    tracker = TensorBoard(run / "tensorboard", step)
    try:
        yield tracker
    finally:
        tracker.writer.close()
