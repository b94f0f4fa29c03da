"""What -o means: one file, a folder, or a folder and a template for the names in it. Checked before anything heavy is imported."""

import os
import re
import string
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmcli.config.generation import GenerateConfig
from ldmcli.errors import UsageError
from ldmcli.records.words import counted

ENDINGS = {".png": "png", ".webp": "webp", ".jpg": "jpg", ".jpeg": "jpg"}
OTHERS = {".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".svg", ".pdf", ".ico", ".tga", ".ppm"}
"""Of pictures that are not written here: no name for a folder."""

NUMBERED = "{number:05}_seed{seed}"
"""The names in a folder where no template is given."""

FIELDS: dict[str, Any] = {
    "number": 10**9, "seed": 2**64 - 1, "steps": 1000, "width": 8192, "height": 8192, "cfg": -1.23456e-100, "prompt": "x" * 80,
    "scheduler": "x" * 20, "model": "x" * 80,
}  # fmt: skip
"""What a template may name, with the longest that each can be."""

INDEX, INDEX_MARK = "index.html", b'content="ldm generate --index"'
"""What --index writes in the folder, and what tells that it did."""

LONGEST_NAME = 200
"""Bytes, of the 255 that file systems take: room for what is written beside a picture."""

_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


@dataclass(frozen=True)
class Target:
    """Where a command writes. file: the one picture it names, if it does; template: names without their `ending`."""

    folder: Path
    file: Path | None
    template: str
    ending: str

    @property
    def kind(self) -> str:
        """png, webp or jpg."""
        return ENDINGS[self.ending.lower()]

    @property
    def numbered(self) -> bool:
        """The names count, so that no two are the same."""
        return "number" in _fields(self.template)


def find_target(config: GenerateConfig, count: int) -> Target:
    """What the options mean for so many pictures. Makes nothing. Raises UsageError for a target that cannot be."""
    typed, target = config.output, Path(os.path.expanduser(config.output))
    is_folder = typed.endswith(("/", os.sep)) or os.path.isdir(target) or names_folder(target)
    if any("{" + field in str(target if is_folder else target.parent) for field in FIELDS):
        hint = 'Such as -o "out/{prompt}-{seed}.png".'
        raise UsageError(f"-o {typed}: fields belong in the name of the file, not of a folder.", hint=hint)
    if is_folder:
        if target.exists() and not target.is_dir():
            raise UsageError(f"-o {typed}: a file of this name is in the way.")
        _check_index(config, target)
        return Target(target, None, NUMBERED, f".{config.format or 'png'}")
    ending = target.suffix
    if ending.lower() not in ENDINGS:
        raise UsageError(f"-o {typed}: a name that ends in .png, .webp or .jpg is needed, or a folder with / at its end.")
    if config.format not in (None, ENDINGS[ending.lower()]):
        raise UsageError(f"--format {config.format} and -o {typed} do not agree.", hint="Leave out --format; the name says it.")
    template = target.name.removesuffix(ending)
    if _check_template(typed, template):
        if config.overwrite:
            raise UsageError(f"--overwrite is for one named file; -o {typed} takes the next free name.", hint="Leave out --overwrite.")
        _check_index(config, target.parent)
        return Target(target.parent, None, template, ending)
    file = target.with_name(template.format() + ending)
    _check_file(config, file, count)
    return Target(file.parent, file, template, ending)


def picture_name(target: Target, values: dict[str, Any], copy: int = 0) -> str:
    """The file name of a picture; values: every one of FIELDS; copy: how many pictures of that name there are already."""
    texts = {key: f"{value:g}" if key == "cfg" else value if isinstance(value, int) else safe(value) for key, value in values.items()}
    name = target.template.format(**texts)
    return ("_" if _RESERVED.fullmatch(name) else "") + name + (f"-{copy + 1}" if copy else "") + target.ending


def safe(text: str) -> str:
    """Letters and digits of any script and + - . stay, everything else is a _; at most 80 bytes, and never a hidden file."""
    kept = re.sub(r"[^\w.+-]+", "_", unicodedata.normalize("NFC", text)).strip("_.-")
    return kept.encode()[:80].decode(errors="ignore").strip("_.-") or "untitled"


def numbers_taken(target: Target, names: list[str]) -> list[int]:
    """The numbers that stand in names of this template, whatever the ending."""
    parts = [
        re.escape(text) + {"number": r"(\d{1,12})", None: ""}.get(field, ".*?")
        for text, field, _, _ in string.Formatter().parse(target.template)
    ]
    pattern = re.compile("".join(parts) + r"(?:-\d+)?\.(?:png|webp|jpe?g|progress.*)", re.ASCII | re.IGNORECASE | re.DOTALL)
    return [int(match[1]) for name in names if (match := pattern.fullmatch(name))]


def progress_target(kind: str, picture: Path) -> Path:
    """What lies beside NAME.png: NAME.progress.png for a strip, NAME.progress.gif, or the folder NAME.progress."""
    return picture.with_name(picture.stem + {"strip": ".progress.png", "gif": ".progress.gif", "frames": ".progress"}[kind])


def names_folder(path: Path) -> bool:
    """What neither ends as a picture does nor holds a field of a template."""
    return path.suffix.lower() not in {*ENDINGS, *OTHERS} and "{" not in path.name


def _fields(template: str) -> list[str]:
    return [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]


def _check_template(typed: str, template: str) -> bool:
    """Whether it has any field. Raises UsageError for one that cannot be filled in."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"-o {typed}: {error}.", hint="A brace that belongs to the name is typed twice.") from error
    for _, field, spec, conversion in parts:
        if field is None:
            continue
        if field not in FIELDS:
            raise UsageError(f"-o {typed}: there is no field {{{field}}}.", hint=f"Fields: {', '.join(FIELDS)}.")
        if conversion or (spec and not (isinstance(FIELDS[field], int) and re.fullmatch(r"0\d", spec))):
            raise UsageError(f"-o {typed}: {{{field}}} cannot be written that way.", hint="Only zeros in front, such as {seed:06}.")
    if _fields(template).count("number") > 1:
        raise UsageError(f"-o {typed} has {{number}} twice.")
    if len(template.format(**FIELDS).encode()) > LONGEST_NAME:
        raise UsageError(f"-o {typed}: the names would become too long.", hint="Use fewer fields.")
    return any(field is not None for _, field, _, _ in parts)


def _check_index(config: GenerateConfig, folder: Path) -> None:
    """Only a page of --index is written over."""
    page = folder / INDEX
    if not config.index or config.overwrite or not (page.exists() or page.is_symlink()):
        return
    try:
        ours = page.is_file() and not page.is_symlink() and INDEX_MARK in page.read_bytes()[:2000]
    except OSError:
        ours = False
    if not ours:
        raise UsageError(f"{page} already exists, and --index did not write it.", hint="Move it, or name another folder.")


def _check_file(config: GenerateConfig, file: Path, count: int) -> None:
    if count > 1:
        raise UsageError(
            f"-o {config.output} names one file for {counted(count, 'picture')}.",
            hint="Name a folder, with / at its end, or a template: {seed}.png.",
        )
    if config.resume:
        raise UsageError(f"--resume reads the manifest of a folder, and -o {config.output} is a file.", hint="Name a folder.")
    if config.grid:
        raise UsageError(f"--grid shows several pictures, and -o {config.output} is one.", hint="Name a folder.")
    if config.index:
        raise UsageError(f"--index shows the pictures of a folder, and -o {config.output} is one.", hint="Name a folder.")
    if file.is_symlink():
        raise UsageError(f"-o {config.output} is a link to somewhere else.", hint="Name the file itself.")
    if file.exists() and not config.overwrite:
        raise UsageError(f"-o {config.output} already exists.", hint="--overwrite replaces it; a folder takes the next free number.")
    beside = progress_target(config.progressive, file) if config.progressive else None
    if beside is not None and (beside.exists() or beside.is_symlink()) and not config.overwrite:
        raise UsageError(f"{beside} already exists; --progressive writes there.", hint="--overwrite replaces it.")
