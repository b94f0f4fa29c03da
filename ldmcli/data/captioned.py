"""A set of captioned pictures on disk, whatever layout it came from."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class CaptionedImage:
    """One picture file and its captions (at least one)."""

    id: str
    path: Path
    captions: tuple[str, ...]


@dataclass(frozen=True)
class CaptionedImages:
    """The usable pictures in a fixed order, and what was left out: sentences, one per kind of problem."""

    source: str
    images: tuple[CaptionedImage, ...]
    problems: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.images)
