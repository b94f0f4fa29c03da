"""Which names are URLs, and what of one may be printed and written down."""

import re
from pathlib import Path

URL = re.compile(r"(s3|gs|hf|https?):/{1,2}(?!/)(.+)", re.DOTALL)
SECRET = re.compile(r"(?<=://)[^/@?]*@|[?#].*", re.DOTALL)
"""What may open a file to whoever reads it: a name and a password before the host, a signature behind the path."""


def url_of(name: str | Path) -> str | None:
    """The URL that was typed, or None for what is a path here. A Path has folded the two slashes into one."""
    found = URL.fullmatch(str(name))
    return f"{found[1]}://{found[2]}" if found else None


def shown(path: Path) -> str:
    """A path for messages, a URL with its two slashes and without secrets."""
    return public(str(path))


def public(url: str) -> str:
    """A URL as it may be printed and written down: without a password and without a query. Any other text is as it was."""
    whole = url_of(url)
    return url if whole is None else SECRET.sub("", whole)
