"""Text that a user hands over: captions, prompts, metadata, annotations. The one place that knows encodings, line ends and CSV.

UTF-8 with or without a byte order mark and UTF-16 with one; anything else is refused by file, line and encoding, never guessed at.
Imports no torch.
"""

import codecs
import csv
import errno
import io
import os
import re
import stat
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from ldmcli.errors import LdmError, NotFound
from ldmcli.readers.json_text import DATA_BYTES, parse_json
from ldmcli.runtime.remote_cache import opened
from ldmcli.runtime.urls import shown, url_of

MARKS = (
    (codecs.BOM_UTF32_LE, ""),
    (codecs.BOM_UTF32_BE, ""),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""(byte order mark, encoding), UTF-32 first, since its mark begins like one of UTF-16; it is refused."""
LINE_END = re.compile(r"\r\n|\n|\r")
"""Not str.splitlines(), which also cuts at U+2028, U+0085 and form feeds, all of which a caption may hold."""


def read_text(path: Path) -> str:
    """The text of a file, which may be a URL, without its byte order mark. Raises NotFound and LdmError."""
    try:
        if url_of(path) is None:
            _check_kind(path)
        with opened(path) as file:
            raw = file.read(DATA_BYTES + 1)
        if len(raw) > DATA_BYTES:
            raise LdmError(f"{shown(path)} has more bytes than the {DATA_BYTES} that are read.", hint="Is it the right file?")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"{shown(path)}: no such file.") from error
    except OSError as error:
        raise LdmError(f"{shown(path)} cannot be read: {error.strerror}.") from error
    return decoded(raw, shown(path))


def _check_kind(path: Path) -> None:
    """Raises OSError for a FIFO, which would be waited for, and LdmError for a device and for what is far too large."""
    found = os.stat(path)
    kind = found.st_mode
    if stat.S_ISCHR(kind) or stat.S_ISBLK(kind):
        raise LdmError(f"{path} is a device, and no file.")
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise OSError(errno.EINVAL, "not a regular file")
    if found.st_size > DATA_BYTES:
        raise LdmError(f"{path} has {found.st_size} bytes; at most {DATA_BYTES} are read.", hint="Is it the right file?")


def read_json(path: Path) -> Any:
    """The body of a JSON file. Raises NotFound and LdmError."""
    return parse_json(read_text(path), shown(path))


def decoded(raw: bytes, name: str) -> str:
    """The text of these bytes. name: of the file, for messages. Raises LdmError."""
    mark, encoding = mark_of(raw)
    if mark and not encoding:
        raise LdmError(f"{name}, line 1: UTF-32, not UTF-8.", hint="Save it as UTF-8.")
    try:
        text = raw[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode(encoding, errors="replace")
        raise LdmError(f"{name}, line {_line(before)}: {undecodable(error)}", hint=_how_to_convert(encoding)) from error
    if (place := text.find("\0")) >= 0:
        why = "a NUL character" if encoding != "utf-8" else "a NUL byte, as in UTF-16 without a byte order mark"
        raise LdmError(f"{name}, line {_line(text[:place])}: {why}.", hint="Save it as UTF-8.")
    return text


def decoded_lines(pieces: Iterable[bytes], name: str, *, most_bytes: int) -> Iterator[bytes]:
    """The lines of a text that begins with a mark, as UTF-8, one at a time; one of more bytes is taken for several.

    pieces: of the text, of any length but the first, which holds the mark. Raises LdmError as `decoded` does.
    """
    number, held = 1, bytearray()
    for text in _decoded_pieces(pieces, name):
        if "\0" in text:
            number += text[: text.index("\0")].count("\n")
            raise LdmError(f"{name}, line {number}: a NUL character.", hint="Save it as UTF-8.")
        *lines, rest = text.split("\n")
        for line in lines:
            yield bytes(held) + line.encode()
            held.clear()
        held += rest.encode()
        number += len(lines)
        if len(held) > most_bytes:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _decoded_pieces(pieces: Iterable[bytes], name: str) -> Iterator[str]:
    """See `decoded_lines`."""
    decoder, encoding, number = None, "", 1
    for piece in chain(pieces, [b""]):
        if decoder is None:
            mark, encoding = mark_of(piece)
            if not encoding:
                decoded(piece, name)  # which refuses it
            decoder, piece = codecs.getincrementaldecoder(encoding)(), piece[len(mark) :]
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            number += error.object[: error.start].decode(encoding, errors="replace").count("\n")
            raise LdmError(f"{name}, line {number}: {undecodable(error)}", hint=_how_to_convert(encoding)) from error
        number += text.count("\n")
        yield text


def mark_of(raw: bytes) -> tuple[bytes, str]:
    """(byte order mark, encoding) of a text that begins with these bytes; without a mark UTF-8, for UTF-32 no encoding."""
    return next(((mark, encoding) for mark, encoding in MARKS if raw.startswith(mark)), (b"", "utf-8"))


def undecodable(error: UnicodeDecodeError) -> str:
    """What is wrong, in words: "not UTF-8: byte 0xe9 at place 4, which would be 'é' in Windows-1252."."""
    byte = error.object[error.start : error.start + 1]
    start = max(error.object.rfind(b"\n", 0, error.start), error.object.rfind(b"\r", 0, error.start)) + 1
    if error.encoding != "utf-8":
        return f"not {error.encoding.removesuffix('-le').removesuffix('-be').upper()}, as its byte order mark says: {error.reason}."
    other = byte.decode("cp1252", errors="ignore")
    guess = f", which would be {other!r} in Windows-1252" if other.isprintable() and other else ""
    return f"not UTF-8: byte {byte[0]:#x} at place {error.start - start + 1}{guess}."


def text_lines(text: str) -> list[str]:
    """The lines of a text, whatever system wrote it; no empty one behind a line end that closes the text."""
    lines = LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


def csv_rows(text: str, name: str) -> list[tuple[int, dict[str, str]]]:
    """(number of its first line, values by column) of each row of a CSV with a header (RFC 4180); empty lines are none.

    A row may be shorter than the header. Raises LdmError, with the line, for more fields than columns (a comma that lacks quotes) and
    for quotes that do not fit, and for a column that is there twice.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    rows, line = [], 1
    try:
        for fields in reader:
            if header is None and fields:
                header = [field.strip() for field in fields]
                if twice := next((field for field in header if field and header.count(field) > 1), None):
                    raise LdmError(f"{name}, line {line}: two columns are called {twice!r}.")
            elif header is not None and len(fields) > len(header):
                raise LdmError(
                    f"{name}, line {line}: {len(fields)} fields for {len(header)} columns.",
                    hint='A text that holds a comma stands in quotes: a.png,"a cat, asleep".',
                )
            elif header is not None and fields:
                rows.append((line, dict(zip(header, fields, strict=False))))
            line = reader.line_num + 1
    except csv.Error as error:
        raise LdmError(f"{name}, line {line}: not CSV: {error}.", hint='Quotes inside a text are doubled: "a ""cat""".') from error
    return rows


def _line(before: str) -> int:
    """The number of the line that follows this text."""
    return len(LINE_END.findall(before)) + 1


def _how_to_convert(encoding: str) -> str:
    return "Save it as UTF-8, for example: iconv -f WINDOWS-1252 -t UTF-8 FILE" if encoding == "utf-8" else "Save it as UTF-8."
