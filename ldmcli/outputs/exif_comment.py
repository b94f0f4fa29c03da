"""The comment field of EXIF, which every tool encodes in its own way, as text."""

import unicodedata

CODE_LENGTH = 8
UNICODE, ASCII, JIS, UNDEFINED = b"UNICODE\0", b"ASCII\0\0\0", b"JIS\0\0\0\0\0", b"\0" * CODE_LENGTH
"""What the field begins with by the EXIF standard; some tools leave it out."""
LONG = 16
"""Bytes of plain ASCII that no UTF-16 text happens to consist of: a tool wrote the code and then another encoding."""
MARKS = {b"\xfe\xff": "utf-16-be", b"\xff\xfe": "utf-16-le"}


def decode_comment(comment: bytes | str) -> str:
    """The text without code, byte order mark and padding. Never raises: what cannot be decoded becomes U+FFFD."""
    raw = comment.encode("latin-1", errors="replace") if isinstance(comment, str) else comment  # Pillow's reading of an ASCII field
    code, body = raw[:CODE_LENGTH], raw[CODE_LENGTH:]
    if code == UNICODE:
        text = _utf16(body)
    elif code == JIS:
        text = body.decode("iso2022_jp", errors="replace")
    elif code in (ASCII, UNDEFINED):
        text = _bytes(body)
    else:
        text = _bytes(raw)
    return text.strip("\0")


def _utf16(body: bytes) -> str:
    """The standard names no byte order: a mark decides, else which of the two reads as text; A1111's big-endian one where both do."""
    for mark, encoding in MARKS.items():
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, errors="replace")
    if len(body) >= LONG and body.isascii() and b"\0" not in body:
        return body.decode("ascii")
    texts = [body[: len(body) // 2 * 2].decode(encoding, errors="replace").strip("\0") for encoding in MARKS.values()]
    return max(texts, key=_plausibility)


def _bytes(body: bytes) -> str:
    """UTF-8, which ASCII is a part of; where it is not, the one-byte encoding of the West."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("cp1252", errors="replace")


def _plausibility(text: str) -> int:
    """ASCII read in the wrong order turns into rare ideographs, ideographs into unassigned places."""
    points = 0
    for letter in text:
        kind = unicodedata.category(letter)
        if letter.isascii():
            points += 2 if kind != "Cc" or letter in "\t\n\r" else -2
        elif kind in ("Cn", "Co", "Cs", "Cc") or letter == "\ufffd":
            points -= 2
        else:
            points += kind.startswith("L")
    return points
