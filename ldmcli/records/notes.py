"""What any run reports on its way: sentences, progress, memory, files. Plain values, no tensors."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Memory:
    """Bytes now and at the peak; VRAM is None without a GPU."""

    rss_bytes: int
    peak_rss_bytes: int
    vram_bytes: int | None
    peak_vram_bytes: int | None


@dataclass(frozen=True)
class Note:
    """A sentence for the user. `warning` if something may not be as they expect."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Place:
    """Where a run is in its whole job. number: of the piece under way, from 1; total: pieces; done: how many are finished, with what
    is done of the piece under way."""

    number: int
    total: int
    done: float


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of a named stage. place: in the whole job, where the stage is one of many of its kind."""

    stage: str
    done: int
    total: int
    memory: Memory | None = None
    place: Place | None = None


@dataclass(frozen=True)
class Saved:
    """A file or folder was written."""

    what: str
    path: Path
