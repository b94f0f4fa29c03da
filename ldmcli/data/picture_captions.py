"""Which caption belongs to which picture: from the picture's own metadata, a manifest beside it, a captions file, or COCO."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ldmcli.data.caption_file import WHAT_FITS, read_caption_file
from ldmcli.data.caption_names import Paired, pair_names
from ldmcli.data.captioned import CaptionedImage, encodable
from ldmcli.data.endings import is_picture
from ldmcli.data.layouts import load_captioned
from ldmcli.data.picture_prompts import Origin, is_sheet, read_origin
from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.prompts.weighting import words
from ldmcli.readers.json_text import parse_json
from ldmcli.records.words import counted
from ldmcli.runtime.remote_cache import local_copy
from ldmcli.runtime.urls import shown


@dataclass(frozen=True)
class Pair:
    """A picture and one of its captions. member: where it lies, if that is a tar shard; path is then the shard's with its key behind."""

    path: Path
    caption: str
    member: CaptionedImage | None = None


@dataclass(frozen=True)
class Pictures:
    """Files as they are named, the pictures of folders in the order of their names, where 9 comes before 10. sheets: left out."""

    files: list[Path]
    sheets: list[Path]

    @property
    def summary(self) -> list[str]:
        """A sentence about what was left out, or none."""
        count = len(self.sheets)
        what = "a sheet of several pictures" if count == 1 else f"{count} sheets of several pictures"
        return [f"{what} left out: {', '.join(path.name for path in self.sheets[:3])}{', ...' * (count > 3)}"] if count else []


@dataclass(frozen=True)
class Pairs:
    """In the order of the pictures. notes: sentences on how they were paired and what was left out; model: the one that the metadata of
    all pictures in pairs names, if it is one; files: all pictures that were looked at, whether they have a caption or not; failed: what
    could not be used, each with its place and the reason."""

    pairs: tuple[Pair, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    model: str | None = None
    failed: tuple[str, ...] = ()


def find_pairs(inputs: Sequence[Path], *, captions: Path | None = None, data: Path | None = None, limit: int | None = None) -> Pairs:
    """The pictures of the inputs (files and folders) with their captions. Without inputs, COCO's own pictures. limit: so many pictures.

    Raises NotFound for what is not there, UsageError for a picture named on the command line that has no caption and for names that
    could mean several pictures.
    """
    if data is not None and not inputs:
        own = {_place(image): image for image in _captioned(data)}
        known = {path: list(image.captions) for path, image in own.items()}
        found = _joined(Pictures(list(known), []), Paired(known, Counter()), shown(data), set(), limit)
        inside = {path: image for path, image in own.items() if image.in_shard}
        return replace(found, pairs=tuple(replace(pair, member=inside.get(pair.path)) for pair in found.pairs))
    pictures = find_pictures(inputs)
    paired: Paired | None
    if data is not None:
        captioned = _captioned(data)
        if any(image.in_shard for image in captioned):
            raise UsageError(f"--data {shown(data)}: shards hold pictures of their own.", hint="Leave out the others.")
        paired = pair_names({str(image.path): list(image.captions) for image in captioned}.items(), pictures.files, str(data))
    else:
        paired = None if captions is None else _from_file(captions, pictures.files)
    return _joined(pictures, paired, str(data or captions or "its metadata or a manifest"), set(inputs), limit)


def _joined(pictures: Pictures, paired: Paired | None, source: str, named: set[Path], limit: int | None) -> Pairs:
    """paired: None reads metadata and manifests. named: on the command line."""
    files = pictures.files[:limit]
    origins = {path: read_origin(path) for path in files}
    given = paired or _from_metadata(origins)
    pairs, bare, failed = [], [], list(given.failed)
    for path in files:
        texts = [text for text in given.captions.get(path, []) if text.strip()]
        if broken := [text for text in texts if not encodable(text)]:
            failed.append(f"{path}: its caption is not valid UTF-8 text")
            texts = [text for text in texts if text not in broken]
        if not texts and path in named and not broken:
            what = (
                f"is a sheet of several pictures and has no caption in {source}" if origins[path].sheet else f"has no caption in {source}"
            )
            raise UsageError(f"{path} {what}.", hint="Name the captions with --captions FILE.")
        bare += [] if texts or broken else [path]
        pairs += [Pair(path, text) for text in texts]
    if not pairs:
        raise NotFound(
            f"none of {counted(len(files), 'picture')} has a caption in {source}.", hint="Name the captions with --captions FILE."
        )
    notes = [f"captions of {source}: {given.summary}"] if given.how else []
    if bare:
        notes.append(f"{counted(len(bare), 'picture')} without a caption left out, {bare[0].name} for one.")
    models = {origins[pair.path].model for pair in pairs}
    return Pairs(
        tuple(pairs), tuple(pictures.files), (*notes, *pictures.summary), models.pop() if len(models) == 1 else None, tuple(failed)
    )


def find_pictures(inputs: Sequence[Path]) -> Pictures:
    """The pictures that are named, and those in the folders that are. Sheets of ours in a folder are set aside. Raises NotFound."""
    found: list[Path] = []
    sheets: list[Path] = []
    for path in inputs:
        if path.is_dir():
            inside = [file for file in path.iterdir() if is_picture(file.name)]
            if not inside:
                raise NotFound(f"{path} holds no pictures that Pillow opens.")
            for file in sorted(inside, key=_natural):
                (sheets if is_sheet(file) else found).append(file)
        elif path.is_file():
            found.append(path)
        else:
            raise NotFound(f"{path}: no such picture or folder.")
    if not found:
        raise NotFound(f"{inputs[0]} holds nothing but sheets of several pictures, {sheets[0].name} for one.")
    return Pictures(list(dict.fromkeys(found)), sheets)


def _natural(path: Path) -> tuple[list[str | int], str]:
    """Numbers in a name count by their value: 2.png before 10.png."""
    pieces = re.split(r"(\d+)", path.stem)  # text, digits, text, ...: always compared like with like
    return [int(piece) if place % 2 else piece for place, piece in enumerate(pieces)], path.name


def _from_metadata(origins: dict[Path, Origin]) -> Paired:
    """What each picture says of itself, else what the manifest beside it does."""
    manifests: dict[Path, dict[str, str]] = {}
    paired = Paired({}, Counter())
    for path, origin in origins.items():
        prompt, how = origin.prompt, "metadata"
        if prompt is None and origin.sheet is None:
            if path.parent not in manifests:
                manifests[path.parent] = _manifest(path.parent)
            prompt, how = manifests[path.parent].get(path.name), "manifest"
        if prompt is not None and prompt.strip():
            paired.captions[path] = [prompt]
            paired.how[how] += 1
    return paired


def _manifest(folder: Path) -> dict[str, str]:
    """Prompts by file name; a line that a kill cut short is skipped, the newest line of a file wins."""
    path = folder / "manifest.jsonl"
    prompts = {}
    for line in path.read_bytes().split(b"\n") if path.is_file() else ():
        try:
            row = parse_json(line, str(path))
        except LdmError:
            continue
        if isinstance(row, dict) and isinstance(row.get("path"), str) and isinstance(row.get("prompt"), str):
            prompts[row["path"]] = words(row["prompt"], str(row.get("weighting")))
    return prompts


def _captioned(data: Path) -> Sequence[CaptionedImage]:
    """The pictures of the data in any layout; the validation split if it is there. Raises LdmError."""
    try:
        return load_captioned(data, split="val").images
    except NotFound:
        return load_captioned(data).images


def _place(image: CaptionedImage) -> Path:
    """What names a picture: its path, or the shard's with its key: shards/000.tar/7."""
    return image.path / image.id.partition("/")[2] if image.in_shard else image.path


def read_references(path: Path, pairs: Pairs) -> tuple[dict[Path, list[str]], str]:
    """The reference captions of each picture of the pairs, and how they were found. Raises LdmError when one has none."""
    paired = _from_file(path, pairs.files)
    files = list(dict.fromkeys(pair.path for pair in pairs.pairs))
    bare = [file for file in files if not paired.captions.get(file)]
    if bare:
        why = f" Left out: {paired.failed[0]}." if paired.failed else ""
        raise LdmError(f"{path} has no reference for {len(bare)} of {counted(len(files), 'picture')}, {bare[0].name} for one.{why}")
    return {file: paired.captions[file] for file in files}, f"references of {path}: {paired.summary}"


def _from_file(path: Path, files: Sequence[Path]) -> Paired:
    """What a captions file says about these pictures: by their names, or line by line in their order."""
    file = read_caption_file(local_copy(path))
    if file.lines is None:
        named = pair_names(file.rows, files, shown(path))
        return replace(named, failed=tuple(f"{shown(path)}, {reason}" for reason in file.failed))
    if len(file.lines) != len(files):
        counts = f"{counted(len(file.lines), 'line')} without names for {counted(len(files), 'picture')}"
        raise LdmError(f"{path} cannot be read as captions: {counts}", hint=WHAT_FITS)
    order = f"order, {files[0].name} first and {files[-1].name} last"
    return Paired({picture: [line] for picture, line in zip(files, file.lines, strict=True)}, Counter({order: len(files)}))
