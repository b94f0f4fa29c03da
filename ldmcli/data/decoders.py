"""Who reads the pictures: threads of this process, or with --workers processes of their own. The pixels are the same."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ldmcli.data.captioned import CaptionedImage
from ldmcli.data.pictures import read_squares
from ldmcli.errors import LdmError
from ldmcli.runtime.pictures import BadPicture

Squares = NDArray[np.uint8] | str
"""(V, 3, size, size), or why there are none."""

STOPS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1}


class Decoders:
    """Reads pictures side by side. workers: processes; 0 is threads, as many as cores, which do without starting anything.

    A worker that was killed, for its memory perhaps, is replaced and its pictures are read again. No signal ends a worker before the
    trainer, so that a Ctrl-C or a SIGTERM to the whole group still finds pictures for the step to be finished; they end with the trainer.
    """

    def __init__(self, workers: int = 0) -> None:
        self.workers = workers
        self.pool: Executor | None = None
        """Started when there is something to read."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the workers. Reading again starts others."""
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
            self.pool = None

    def submit(self, picture: CaptionedImage, size: int, crop: str) -> Future[Squares]:
        """Begin to read one picture. What comes of it is for `result`."""
        with _unheard():
            try:
                return self._running().submit(squares, picture, size, crop)
            except BrokenExecutor:
                self.close()
                return self._running().submit(squares, picture, size, crop)

    def result(self, coming: Future[Squares], picture: CaptionedImage, size: int, crop: str) -> Squares:
        """Wait for a picture. Raises LdmError when its second worker dies too."""
        try:
            return coming.result()
        except BrokenExecutor:
            return self.read([picture], size, crop)[0]

    def read(self, pictures: Sequence[CaptionedImage], size: int, crop: str) -> list[Squares]:
        """Read pictures side by side, in order. Raises LdmError when the workers die twice."""
        try:
            return self._read(pictures, size, crop)
        except BrokenExecutor:
            self.close()
        try:
            return self._read(pictures, size, crop)
        except BrokenExecutor as error:
            raise LdmError(
                "the processes that read pictures are being killed, for want of memory perhaps.", hint="Use fewer --workers, or none."
            ) from error

    def _read(self, pictures: Sequence[CaptionedImage], size: int, crop: str) -> list[Squares]:
        share = max(len(pictures) // (2 * self.workers), 1) if self.workers else 1
        with _unheard():
            coming = self._running().map(squares, pictures, repeat(size), repeat(crop), chunksize=share)
        return list(coming)

    def _running(self) -> Executor:
        if self.pool is None and self.workers:  # spawned: a fork of a process with threads may hang
            self.pool = ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn"), _live_no_longer_than_the_trainer)
        elif self.pool is None:  # Pillow decodes and scales without Python's lock
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            self.pool = ThreadPoolExecutor(min(cores, 16))
        return self.pool


def squares(picture: CaptionedImage, size: int, crop: str) -> Squares:
    """What `read_squares` returns, or the reason why it cannot."""
    try:
        return read_squares(picture, size, crop)
    except BadPicture as error:
        return f"{picture.id if picture.in_shard else picture.path.name}: {error}"


def _live_no_longer_than_the_trainer() -> None:
    """A kill -9 of the trainer leaves no worker behind."""
    trainer: Any = multiprocessing.parent_process()

    def watch() -> None:
        trainer.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _unheard() -> Iterator[None]:
    """Processes that are started inside are deaf to STOPS for good; this one hears them at the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
