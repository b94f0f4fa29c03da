"""WebDataset shards: tar files with key.jpg beside key.txt or key.json, read in place at random (Aizman et al. 2019).

What is a key and what an ending is as the `webdataset` library has it: of `dir/7.cond.jpg` the key is `dir/7`, the ending `cond.jpg`.
Only headers and captions are read to make the index; a picture is then a byte range of its shard, so nothing is ever unpacked.
"""

import os
import re
import tarfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from ldmcli.data.captioned import MAX_CAPTION_CHARS, CaptionedImages, Collector, captions_in
from ldmcli.data.endings import openable
from ldmcli.data.tar_headers import members
from ldmcli.data.text_file import decoded, text_lines
from ldmcli.errors import LdmError, NotFound
from ldmcli.readers.json_text import parse_json
from ldmcli.records.words import counted
from ldmcli.runtime.pictures import MAX_BYTES
from ldmcli.runtime.remote_cache import opened
from ldmcli.runtime.urls import shown

BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
MAX_TEXT_BYTES = 64 * MAX_CAPTION_CHARS
"""Of a .txt or .json member; a longer one is no caption."""


NAME = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)", re.DOTALL)
"""Key and ending of a member; of webdataset.tariterators.base_plus_ext."""
NO_SAMPLE = re.compile(r"__[^/]*__($|/)|(?:.*/|)\._[^/]*$", re.DOTALL)
"""Members that describe the shard, and what macOS adds to a tar."""
TEXTS = ("txt", "text", "caption")


@dataclass(frozen=True)
class Keys:
    """Which members of a sample are its picture and its captions. None: any ending that Pillow opens; TEXTS, else json."""

    image: str | None = None
    caption: str | None = None

    def is_picture(self, ending: str) -> bool:
        """Whether a member with this ending is a picture."""
        return f".{ending}" in openable() if self.image is None else ending == _plain(self.image)

    def is_caption(self, ending: str) -> bool:
        """Whether a member with this ending is a caption."""
        return ending in (*TEXTS, "json") if self.caption is None else ending == _plain(self.caption)


@dataclass
class Sample:
    """The members of one key. pictures: (first byte, bytes) by ending; texts and described: captions from text and from JSON."""

    key: str
    pictures: dict[str, tuple[int, int]] = field(default_factory=dict)
    texts: list[object] = field(default_factory=list)
    described: list[object] = field(default_factory=list)
    endings: set[str] = field(default_factory=set)
    twice: str = ""
    unreadable: str = ""


def find_shards(root: Path, split: str) -> list[Path]:
    """The .tar files that --data names: one, a range such as shards/{000..127}.tar (or .parquet), or those of a folder.

    Raises NotFound for gaps.
    """
    if BRACES.search(str(root)):
        paths = [Path(name) for name in expanded(str(root))]
        gone = [path for path in paths if not path.is_file()]
        if gone:
            raise NotFound(
                f"--data {root}: {len(gone)} of {counted(len(paths), 'shard')} not there, {gone[0]} for one.", hint="Correct the range."
            )
        return paths
    if root.is_file() and root.suffix == ".tar":
        return [root]
    return next((found for folder in (root, root / split, root / "shards") if (found := _tars(folder))), [])


def _tars(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.tar") if not path.name.startswith("."))


def load_shards(root: Path, shards: list[Path], *, keys: Keys | None = None, limit: int | None = None) -> CaptionedImages:
    """The pictures of the shards in their order. A shard that was cut short gives what it still holds. Raises LdmError."""
    found, endings, several = Collector(), Counter[str](), Counter[tuple[str, ...]]()
    for shard in shards:
        for sample in samples_of(shard, keys or Keys(), found):
            endings.update(sample.endings)
            several[tuple(sample.pictures)] += len(sample.pictures) > 1
            _add(found, shard, sample)
            if len(found.images) == limit:
                break
        if len(found.images) == limit:
            break
    if not found.images and endings:
        listed = ", ".join(f"{ending} ({count})" for ending, count in endings.most_common(12))
        why = "; ".join(f"{count} x {reason}" for reason, count in found.dropped.items() if count)
        raise LdmError(
            f"{shown(root)} has no picture with a usable caption ({why}). The members end in {listed}.",
            hint="Name what is what: --image-key jpg --caption-key txt.",
        )
    what = "1 WebDataset shard" if len(shards) == 1 else f"{len(shards)} WebDataset shards"
    data = found.result(shown(root), what, root, allow_missing=True)
    return replace(data, problems=(*data.problems, *(_choice(kinds, count) for kinds, count in several.items() if count)))


def _choice(endings: tuple[str, ...], count: int) -> str:
    return f"{count} x sample with pictures {', '.join(endings)}: {endings[0]} is taken; --image-key names another"


def _add(found: Collector, shard: Path, sample: Sample) -> None:
    """The sample if it can be used, else why not."""
    name, captions = f"{shard.stem}/{sample.key}", sample.texts or sample.described
    if sample.twice:
        found.skip(name, shard, "sample with two members of one name", sample.twice)
    elif not sample.pictures:
        found.skip(name, shard, "sample without a picture", ", ".join(sorted(sample.endings)))
    elif sample.unreadable and not captions:
        found.skip(name, shard, "sample whose caption is not readable text", sample.unreadable)
    else:
        found.add(name, shard, captions, next(iter(sample.pictures.values())))


def samples_of(shard: Path, keys: Keys, found: Collector) -> list[Sample]:
    """The samples in the order of their first members. Those of one key belong together wherever they stand, as in an unsorted tar."""
    samples = dict[str, Sample]()
    with opened(shard) as file:
        size = os.fstat(file.fileno()).st_size
        for member in members(shard, file, found.dropped):
            match = NAME.fullmatch(member.name)
            if match is None or NO_SAMPLE.match(member.name):
                continue
            key, ending = match[1], match[2].lower()
            if member.offset_data + member.size > size:
                found.skip(f"{shard.stem}/{key}", shard, "picture or caption beyond the end of a shard that was cut short")
                continue
            if keys.is_picture(ending) and member.size > MAX_BYTES:
                found.skip(f"{shard.stem}/{key}", shard, f"picture of more than {MAX_BYTES} bytes")
                continue
            sample = samples.setdefault(key, Sample(key))
            sample.twice = sample.twice or (member.name if ending in sample.endings else "")
            sample.endings.add(ending)
            if keys.is_picture(ending):
                sample.pictures[ending] = (member.offset_data, member.size)
            elif keys.is_caption(ending):
                _read_caption(file, member, ending, sample)
    return list(samples.values())


def _read_caption(file: BinaryIO, member: tarfile.TarInfo, ending: str, sample: Sample) -> None:
    """Adds to the captions of the sample. tarfile finds its own place again."""
    if member.size > MAX_TEXT_BYTES:
        sample.unreadable = f"{member.name} has {member.size} bytes"
        return
    file.seek(member.offset_data)
    try:
        text = decoded(file.read(member.size), member.name)
    except LdmError as error:
        sample.unreadable = error.message
        return
    if ending.rpartition(".")[2] == "json":
        sample.described += _described(text)
    else:
        sample.texts += [line for line in text_lines(text) if line.strip()]


def _described(text: str) -> list[object]:
    try:
        row = parse_json(text, "")
    except LdmError:
        return []
    return captions_in(row) if isinstance(row, dict) else []


def _plain(ending: str) -> str:
    """ ".JPG" -> jpg."""
    return ending.removeprefix(".").lower()


def expanded(text: str) -> list[str]:
    """The names of a range: "a{08..10}" -> a08, a09, a10."""
    match = BRACES.search(text)
    if match is None:
        return [text]
    first, last = match.groups()
    numbers = range(int(first), int(last) + 1)
    return [name for n in numbers for name in expanded(f"{text[: match.start()]}{n:0{len(first)}d}{text[match.end() :]}")]
