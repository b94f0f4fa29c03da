"""WebDataset shards: tar files with key.jpg beside key.txt or key.json, read in place at random (Aizman et al. 2019).

Only headers and captions are read to make the index; a picture is then a byte range of its shard, so nothing is ever unpacked.
"""

import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ldmcli.data.captioned import MAX_CAPTION_CHARS, PICTURES, CaptionedImages, Collector, captions_in
from ldmcli.errors import LdmError, NotFound
from ldmcli.records.words import counted

BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
MAX_TEXT_BYTES = 64 * MAX_CAPTION_CHARS
"""Of a .txt or .json member; a longer one is no caption."""


@dataclass
class Sample:
    """The members of one key. span: of the picture, (first byte, bytes)."""

    key: str
    span: tuple[int, int] | None = None
    texts: list[object] = field(default_factory=list)
    described: list[object] = field(default_factory=list)


def find_shards(root: Path, split: str) -> list[Path]:
    """The .tar files that --data names: one, a range such as shards/{000..127}.tar, or those of a folder. Raises NotFound for gaps."""
    if BRACES.search(str(root)):
        paths = [Path(name) for name in _expanded(str(root))]
        gone = [path for path in paths if not path.is_file()]
        if gone:
            raise NotFound(
                f"--data {root}: {len(gone)} of {counted(len(paths), 'shard')} not there, {gone[0]} for one.", hint="Correct the range."
            )
        return paths
    if root.is_file() and root.suffix == ".tar":
        return [root]
    return next((found for folder in (root, root / split, root / "shards") if (found := sorted(folder.glob("*.tar")))), [])


def load_shards(root: Path, shards: list[Path], *, limit: int | None = None) -> CaptionedImages:
    """The pictures of the shards in their order. A shard that was cut short gives what it still holds. Raises LdmError."""
    found = Collector()
    for shard in shards:
        for sample in _samples(shard, found):
            if sample.span is None:
                found.dropped["sample without a picture"] += 1
                continue
            if len(found.images) == limit:
                break
            found.add(f"{shard.stem}/{sample.key}", shard, sample.texts or sample.described, sample.span)
    what = "1 WebDataset shard" if len(shards) == 1 else f"{len(shards)} WebDataset shards"
    return found.result(root, what, root, allow_missing=True)


def _samples(shard: Path, found: Collector) -> Iterator[Sample]:
    """Neighbours with the same key, as WebDataset groups them."""
    size, current = shard.stat().st_size, None
    with shard.open("rb") as file:
        for member in _members(shard, file, found):
            key, _, ending = _split(member.name)
            if member.offset_data + member.size > size:
                found.skip(f"{shard.stem}/{key}", shard, "picture or caption beyond the end of a shard that was cut short")
                continue
            if current is None or current.key != key:
                if current is not None:
                    yield current
                current = Sample(key)
            if f".{ending}" in PICTURES:
                current.span = current.span or (member.offset_data, member.size)
            elif ending in ("txt", "text", "caption"):
                current.texts += [line for line in _text(file, member).splitlines() if line.strip()]
            elif ending == "json":
                current.described += _described(_text(file, member))
    if current is not None:
        yield current


def _members(shard: Path, file: BinaryIO, found: Collector) -> Iterator[tarfile.TarInfo]:
    """Headers of the plain files of a shard. Raises LdmError for what is no tar."""
    magic = file.read(6)
    if magic[:2] == b"\x1f\x8b" or magic[:3] in (b"BZh", b"\xfd7z") or magic[:4] == b"\x28\xb5\x2f\xfd":
        raise LdmError(f"{shard} is compressed, so its pictures cannot be found by their place.", hint="Unpack it to a plain .tar first.")
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every header that it has seen
                if member.isreg() and not member.issparse():
                    yield member
    except tarfile.ReadError as error:
        if "unexpected end of data" not in str(error):
            raise LdmError(f"{shard} is not a readable tar file: {error}") from error
        found.dropped["shard that was cut short"] += 1


def _split(name: str) -> tuple[str, str, str]:
    """(key, ".", ending): the first dot of the last part parts them, and the ending is told by its last part."""
    folder, slash, last = name.rpartition("/")
    stem, dot, endings = last.partition(".")
    return f"{folder}{slash}{stem}", dot, endings.rpartition(".")[2].lower()


def _text(file: BinaryIO, member: tarfile.TarInfo) -> str:
    """A member as text; what is too long for one is empty. tarfile finds its own place again."""
    if member.size > MAX_TEXT_BYTES:
        return ""
    file.seek(member.offset_data)
    return file.read(member.size).decode("utf-8-sig", errors="surrogateescape")  # an undecodable caption is then left out and counted


def _described(text: str) -> list[object]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return captions_in(row) if isinstance(row, dict) else []


def _expanded(text: str) -> list[str]:
    """ "a{08..10}" -> a08, a09, a10."""
    match = BRACES.search(text)
    if match is None:
        return [text]
    first, last = match.groups()
    numbers = range(int(first), int(last) + 1)
    return [name for n in numbers for name in _expanded(f"{text[: match.start()]}{n:0{len(first)}d}{text[match.end() :]}")]
