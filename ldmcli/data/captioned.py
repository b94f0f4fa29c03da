"""A set of captioned pictures on disk, whatever layout it came from, and how one is put together."""

import contextlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ldmcli.errors import LdmError, NotFound
from ldmcli.records.words import counted

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""What a file with one of these endings is taken for."""
CAPTION_KEYS = ("text", "caption", "captions", "prompt")
MAX_CAPTION_CHARS = 10_000


@dataclass(frozen=True)
class CaptionedImage:
    """One picture and its captions (at least one). span: (first byte, bytes) within `path` if that is a tar shard."""

    id: str
    path: Path
    captions: tuple[str, ...]
    span: tuple[int, int] | None = None


@dataclass(frozen=True)
class Skipped:
    """A picture that cannot be used, and why."""

    id: str
    file: str
    reason: str


@dataclass(frozen=True)
class CaptionedImages:
    """The usable pictures in a fixed order, and what was left out: sentences, one per kind of problem, and each picture of them."""

    source: str
    images: tuple[CaptionedImage, ...]
    problems: tuple[str, ...] = field(default=())
    layout: str = "COCO"
    skipped: tuple[Skipped, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.images)


class Collector:
    """Takes what a layout names, picture by picture, and counts and lists what cannot be used."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.images: list[CaptionedImage] = []
        self.skipped: list[Skipped] = []
        self.missing: list[Path] = []
        self.seen = 0

    def add(self, name: str, path: Path, captions: Iterable[object], span: tuple[int, int] | None = None) -> None:
        """One picture. captions: as they were read, so anything may be among them."""
        self.seen += 1
        texts = []
        for caption in captions:
            text = clean_caption(caption)
            if text is None:
                self.dropped["unusable caption"] += 1
            else:
                texts.append(text)
        if not texts:
            self.skip(name, path, "picture without a caption")
        elif span is None and not os.path.isfile(path):  # unlike Path.is_file, also answers for a name that is too long
            self.missing.append(path)
            self.skip(name, path, "missing picture")
        else:
            self.images.append(CaptionedImage(name, path, tuple(texts), span))

    def skip(self, name: str, path: Path, reason: str) -> None:
        """A picture that is of no use."""
        self.dropped[reason] += 1
        self.skipped.append(Skipped(name, str(path), reason))

    def result(self, source: Path | str, layout: str, pictures: Path, *, allow_missing: bool) -> CaptionedImages:
        """Raises NotFound when pictures are missing (all, or more than 1 % unless allow_missing), LdmError when nothing is usable."""
        few = len(self.missing) <= 0.01 * self.seen or allow_missing
        if self.missing and not (self.images and few):
            raise NotFound(
                f"{len(self.missing)} of {counted(self.seen, 'picture')} of {source} not in {pictures}, {self.missing[0].name} for one.",
                hint="Is --images right? --allow-missing goes on with those that are there.",
            )
        if not self.images:
            raise LdmError(
                f"{source} has no picture with a usable caption.", hint="`text`, `caption` and one caption a line in .txt are read."
            )
        problems = tuple(f"{count} x {what}, left out" for what, count in self.dropped.items() if count)
        return CaptionedImages(str(source), tuple(self.images), problems, layout, tuple(self.skipped))


def clean_caption(caption: object) -> str | None:
    """One line of text, or None if there is nothing to learn from."""
    if not isinstance(caption, str) or len(caption) > MAX_CAPTION_CHARS:
        return None
    text = " ".join(caption.replace("\0", " ").split())
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair: JSON can hold it, no tokenizer takes it
        return None
    return text or None


def captions_in(row: dict[str, object]) -> list[object]:
    """The captions of a JSON object or a row of a table: a text, or a list of them, under one of the usual names."""
    value = next((row[key] for key in CAPTION_KEYS if row.get(key) is not None), None)
    return value if isinstance(value, list) else [] if value is None else [value]


def inside(folder: Path, name: object, said_by: Path) -> Path:
    """The path of a picture, which must lie inside the folder. Raises LdmError for anything that points elsewhere."""
    if isinstance(name, str) and name and "\0" not in name and "\\" not in name and not Path(name).is_absolute():
        path = folder / name
        with contextlib.suppress(ValueError):  # half a surrogate pair
            if path.resolve().is_relative_to(folder.resolve()):
                return path
    raise LdmError(f"{said_by}: file_name {name!r} points outside {folder}; refused.")
