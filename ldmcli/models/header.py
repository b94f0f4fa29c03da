"""The header of a safetensors file: names, shapes and metadata, and whether it tells the truth about its file. Imports no torch.

The file is 8 bytes with the header's length, the header (JSON), and the tensors' bytes, one after the other without gaps.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from ldmcli.errors import LdmError, NotFound
from ldmcli.readers.json_text import MIB, parse_json
from ldmcli.readers.rules import Listed, Named, Record, Text, check, optional, whole

Shapes = Mapping[str, tuple[int, ...]]

LONGEST = 32 * MIB
"""Bytes of a header. Large ones have 200,000, and notes of a trainer beside them a few millions; the safetensors library takes 100."""

HEADER = Named(
    Record(
        {"dtype": Text(20), "shape": Listed(whole(0, 2**40), 16), "data_offsets": Listed(whole(0, 2**60), 2, 2)},
        required=("dtype", "shape", "data_offsets"),
    ),
    most=100_000,
)
NOTES = optional(Named(Text(LONGEST)))

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64, "F16": 16, "BF16": 16, "F32": 32,
    "F64": 64, "C64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F8_E8M0": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
"""Of a value of each type. One that is not listed here is not checked."""

ZIP, PICKLE = b"PK\x03\x04", b"\x80"
STARTS = {
    ZIP: "a zip archive, such as a .ckpt of torch", b"\x80\x02": "a pickle", b"\x80\x04": "a pickle", b"GGUF": "a GGUF file",
    b"<": "a page of text, such as an error message of a web site", b"{": "a text",
}  # fmt: skip
"""What files with the wrong ending begin with."""

AGAIN = "Get the file again."


@dataclass(frozen=True)
class Header:
    """shapes: by the name of the tensor; metadata: what the writer noted; types: as the file calls them; starts: first byte of each."""

    shapes: Shapes = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    starts: Mapping[str, int] = field(default_factory=dict)


def first_bytes(path: Path) -> bytes:
    """What a file of weights begins with. Raises NotFound for no file or a pointer to one."""
    if not path.is_file():
        raise NotFound(f"{path} is missing.")
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"version https://git-lfs"):
        raise NotFound(f"{path} is a git-lfs pointer, not the weights.", hint="Run `git lfs pull` in that repository.")
    return start


def read_header(path: Path) -> Header:
    """Raises NotFound for no file or a pointer to one, LdmError for a file that is damaged, cut off or of another kind."""
    start = first_bytes(path)
    length, size = int.from_bytes(start[:8], "little"), path.stat().st_size
    with path.open("rb") as file:
        file.seek(8)
        text = file.read(length) if length <= LONGEST else b""
    if len(text) < length:
        if text.startswith(b'{"'):
            raise _cut_off(path, 8 + length)
        what = next((what for begin, what in STARTS.items() if start.startswith(begin)), "")
        raise _damaged(path, f"it is {what}" if what else "it has no header")
    try:
        body = parse_json(text, str(path))
        metadata = body.pop("__metadata__", None) if isinstance(body, dict) else None
        check(metadata, NOTES, f"{path}, __metadata__")
        check(body, HEADER, str(path))
    except LdmError as error:
        why = error.message.removeprefix(str(path)).lstrip(" :,").rstrip(".")
        raise _damaged(path, f"its header is no list of tensors: {why}") from error
    spans = sorted((*entry["data_offsets"], entry["dtype"], tuple(entry["shape"]), key) for key, entry in body.items())
    _check_spans(path, spans, size - 8 - length)
    return Header(
        {key: tuple(entry["shape"]) for key, entry in body.items()},
        metadata or {},
        {key: entry["dtype"] for key, entry in body.items()},
        {key: 8 + length + entry["data_offsets"][0] for key, entry in body.items()},
    )


def check_pickle(path: Path) -> bool:
    """Whether a file of torch.save is a zip archive, as since torch 1.6, which is then there as a whole and packs nothing.

    Raises NotFound for no file or a pointer to one, LdmError for a file that is cut off, would unpack or is of another kind.
    """
    start = first_bytes(path)
    if start.startswith(ZIP):
        _check_archive(path)
        return True
    if not start.startswith(PICKLE):
        what = next((what for begin, what in STARTS.items() if start.startswith(begin)), "" if start else "empty")
        raise LdmError(f"{path} is damaged or no file of torch{f': it is {what}' if what else ''}.", hint=AGAIN)
    return False


def _check_archive(path: Path) -> None:
    """torch.save packs no member, and a packed one may be endless: together they are not larger than their archive."""
    import zipfile

    try:
        whole = zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # one of several disks
        whole = False
    if not whole:
        raise LdmError(f"{path} is truncated: its list of contents, which comes last, is missing.", hint=AGAIN)
    try:
        with zipfile.ZipFile(path) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise LdmError(f"{path} is damaged or no file of torch: {error}", hint=AGAIN) from error
    if claimed > path.stat().st_size:
        raise LdmError(f"{path} would unpack to {claimed} bytes, more than it has; refused.", hint="Get the model as .safetensors.")


def _check_spans(path: Path, spans: list[tuple[int, int, str, tuple[int, ...], str]], room: int) -> None:
    """Raise LdmError unless the tensors (first byte, last, type, shape, name) fill the room exactly, each with its own size."""
    reached = 0
    for first, last, kind, shape, key in spans:
        if first != reached or (kind in BITS and 8 * (last - first) != prod(shape) * BITS[kind]):
            raise _damaged(path, f"{key} is said to be {kind} {shape} in bytes {first} to {last}, which cannot be")
        reached = last
    if reached > room:
        raise _cut_off(path, path.stat().st_size - room + reached)
    if reached < room:
        raise _damaged(path, f"{room - reached} bytes at its end belong to no tensor")


def _damaged(path: Path, why: str) -> LdmError:
    return LdmError(f"{path} is damaged or not a safetensors file: {why}.", hint=AGAIN)


def _cut_off(path: Path, expected: int) -> LdmError:
    return LdmError(f"{path} is truncated: got {path.stat().st_size} of {expected} bytes.", hint=AGAIN)
