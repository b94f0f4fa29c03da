"""A set of captioned pictures on disk, whatever layout it came from, and how one is put together."""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ldmcli.errors import LdmError, NotFound
from ldmcli.records.words import counted
from ldmcli.runtime.remote import shown

NAME_KEYS = ("file_name", "image", "filename", "path", "file")
CAPTION_KEYS = ("text", "caption", "captions", "prompt")
DRIVE = re.compile(r"[A-Za-z]:[\\/]")
"""How an absolute name of Windows begins."""
MAX_CAPTION_CHARS = 10_000


@dataclass(frozen=True)
class CaptionedImage:
    """One picture and its captions (at least one). path: of its file, or of the shard that holds it, which may be a URL.

    span: (first byte, bytes) within a tar shard. cell: (row group, row of it) within a Parquet file, in `column`.
    """

    id: str
    path: Path
    captions: tuple[str, ...]
    span: tuple[int, int] | None = None
    cell: tuple[int, int] | None = None
    column: str = ""

    @property
    def in_shard(self) -> bool:
        """Whether `path` holds other pictures too."""
        return self.span is not None or self.cell is not None


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
    images: Sequence[CaptionedImage]
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
        self.add_image(CaptionedImage(name, path, (), span), captions)

    def add_image(self, image: CaptionedImage, captions: Iterable[object] | None = None) -> None:
        """See add. captions: where they are not those of the image."""
        name, path = image.id, image.path
        self.seen += 1
        texts = []
        for caption in image.captions if captions is None else captions:
            text = clean_caption(caption)
            if text is None:
                self.dropped["unusable caption"] += 1
            else:
                texts.append(text)
        if not texts:
            self.skip(name, path, "picture without a caption")
        elif not image.in_shard and not os.path.isfile(path):  # unlike Path.is_file, also answers for a name that is too long
            self.missing.append(path)
            self.skip(name, path, "missing picture")
        else:
            self.images.append(replace(image, captions=tuple(texts)))

    def skip(self, name: str, path: Path, reason: str, detail: str = "") -> None:
        """A picture that is of no use. They are counted by their reasons; detail: what only the list says."""
        self.dropped[reason] += 1
        self.skipped.append(Skipped(name, shown(path), f"{reason}: {detail}" if detail else reason))

    def result(self, source: Path | str, layout: str, pictures: Path, *, allow_missing: bool) -> CaptionedImages:
        """Raises NotFound when pictures are missing (all, or more than 1 % unless allow_missing), LdmError when nothing is usable."""
        few = len(self.missing) <= 0.01 * self.seen or allow_missing
        if self.missing and not (self.images and few):
            raise NotFound(
                f"{len(self.missing)} of {counted(self.seen, 'picture')} of {source} not in {shown(pictures)}, "
                f"{self.missing[0].name} for one.",
                hint="Is --images right? --allow-missing goes on with those that are there.",
            )
        problems = tuple(f"{count} x {what}, left out" for what, count in self.dropped.items() if count)
        if not self.images:
            why = f": {'; '.join(problems[:3])}." if problems else "."
            hint = "`text`, `caption` and one caption a line in .txt are read."
            raise LdmError(f"{source} has no picture with a usable caption{why}", hint=hint)
        return CaptionedImages(str(source), tuple(self.images), problems, layout, tuple(self.skipped))


def clean_caption(caption: object) -> str | None:
    """One line of text, or None if there is nothing to learn from."""
    if not isinstance(caption, str) or len(caption) > MAX_CAPTION_CHARS:
        return None
    text = " ".join(caption.replace("\0", " ").split())
    return text if text and encodable(text) else None


def encodable(text: str) -> bool:
    """Whether it is text in UTF-8. Half a surrogate pair is not: JSON can hold it, no tokenizer takes it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def captions_in(row: dict[str, object]) -> list[object]:
    """The captions of a JSON object or a row of a table: a text or a list of them, under the first usual name that says anything."""
    values = [value if isinstance(value, list) else [value] for key in CAPTION_KEYS if (value := row.get(key)) is not None]
    full = (value for value in values if any(clean_caption(caption) for caption in value))
    return next(full, values[0] if values else [])


def name_in(row: dict[str, object]) -> str | None:
    """The name of the picture that a JSON object or a row of a table is about: a text under one of the usual names."""
    return next((value for key in NAME_KEYS if isinstance(value := row.get(key), str) and value and encodable(value)), None)


def inside(folder: Path, name: object, said_by: Path) -> Path:
    """The path of a picture, whose name must not leave the folder; links that lie in it may. A name with backslashes is one of Windows.

    Raises LdmError for an absolute name and for one that leads outside by `..`.
    """
    if isinstance(name, str) and name and "\0" not in name and not DRIVE.match(name):
        with contextlib.suppress(ValueError):  # half a surrogate pair
            os.fsencode(name)
            of_windows = "\\" in name and not os.path.isfile(folder / name)
            plain = os.path.normpath(name.replace("\\", "/") if of_windows else name)
            if not os.path.isabs(plain) and plain.split("/")[0] != "..":
                return folder / plain
    raise LdmError(f"{said_by}: file_name {name!r} points outside {folder}; refused.")
