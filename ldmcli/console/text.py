"""User text made safe for a terminal."""

import re

# C0 and C1 controls (ESC starts terminal commands) and the marks that reorder text.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Without control and direction characters, so that a prompt cannot drive the terminal."""
    return _UNSAFE.sub("", text)
