"""What a stranger may do to a file that was whole: other values at any place of its JSON, other bytes anywhere."""

import copy
import json
from random import Random
from typing import Any

DEEP: list[Any] = []
for _ in range(100):
    DEEP = [DEEP]

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 64, 1000, 10**7, 2**31, 2**63, 10**30, 0.5, -0.5, 1e-320, 1e308, float("inf"), float("-inf"),
    float("nan"), "", "a", "0", "nan", "x" * 2000, "../../x", "/etc/passwd", "a\0b", "\ud800", "\u202e", "(a|a)*b", "<|endoftext|>",
    "https://example.org/x", [], {}, [None], [[]], {"": None}, {"a": {"b": []}}, [1, 2], ["os", "system"], [0] * 100, DEEP,
)  # fmt: skip


def places(body: Any, found: list[tuple[Any, Any]] | None = None) -> list[tuple[Any, Any]]:
    """(container, key) of every value below the top, at most a few thousand."""
    found = [] if found is None else found
    if isinstance(body, dict | list) and len(found) < 3000:
        for key, value in list(body.items() if isinstance(body, dict) else enumerate(body)):
            found.append((body, key))
            places(value, found)
    return found


def spoilt_json(body: Any, draw: Random) -> Any:
    """A copy with one to three changes: a value replaced, taken away, renamed, or put where another was."""
    body = copy.deepcopy(body)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        spots = places(body)
        if not spots or draw.random() < 0.02:
            return draw.choice(VALUES)
        container, key = draw.choice(spots)
        kind = draw.random()
        if kind < 0.7:
            container[key] = copy.deepcopy(draw.choice(VALUES))
        elif kind < 0.8 and isinstance(container, dict):
            container[str(draw.choice(VALUES))] = container.pop(key)
        elif kind < 0.9:
            del container[key]
        else:
            other, place = draw.choice(spots)
            container[key] = copy.deepcopy(other[place]) if place in (other if isinstance(other, dict) else range(len(other))) else None
    return body


def spoilt_bytes(raw: bytes, draw: Random) -> bytes:
    """One to four changes: bits, bytes, a cut, a piece twice, a large number."""
    data = bytearray(raw)
    for _ in range(draw.choice((1, 1, 2, 4))):
        place = draw.randrange(len(data) + 1)
        kind = draw.randrange(7)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 1 and place < len(data):
            data[place] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, 0x22, 0x7B, 0x5B, 0x2D))
        elif kind == 2:
            del data[place:]
        elif kind == 3:
            del data[place : place + draw.randrange(1, 20)]
        elif kind == 4:
            data[place:place] = data[place : place + draw.randrange(1, 60)]
        elif kind == 5:
            data[place : place + 4] = draw.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0"))
        else:
            data[place:place] = bytes(draw.randrange(256) for _ in range(draw.randrange(1, 9)))
    return bytes(data)


def spoilt(seed: Any, draw: Random) -> bytes:
    """Bytes to put in place of a seed: JSON as a value, anything else as bytes."""
    if isinstance(seed, bytes):
        return spoilt_bytes(seed, draw)
    text = json.dumps(spoilt_json(seed, draw)).encode()
    return spoilt_bytes(text, draw) if draw.random() < 0.15 else text
