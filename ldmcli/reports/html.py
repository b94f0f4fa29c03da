"""One-file pages: a Jinja2 template with its style and script inside, pictures as data, nothing from anywhere else."""

import base64
import hashlib
import io
from pathlib import Path
from typing import Any

from PIL import Image

TEMPLATES = Path(__file__).parent / "templates"

LOSSLESS_SIDE = 128
"""Pictures larger than this are embedded as WebP of quality 85: at 512 x 512 noise alone takes most of a megabyte as PNG."""


def render_page(name: str, *, pictures: str = "data:", **values: Any) -> str:
    """templates/NAME.html with base.css, NAME.css and NAME.js (if there is one) inlined. Values are text to the page, never markup.

    Its policy allows that one style and that one script, by their hashes, and pictures from `pictures`, which is the page itself: no
    network, and nothing that hides in a prompt can run.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(bytes=in_bytes, count=in_thousands, seconds=in_seconds)
    style = "".join(TEMPLATES.joinpath(f"{part}.css").read_text(encoding="utf-8") for part in ("base", name))
    own = TEMPLATES / f"{name}.js"
    script = own.read_text(encoding="utf-8") if own.exists() else ""
    sources = f"img-src {pictures}; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    policy = f"default-src 'none'; {sources}; base-uri 'none'; form-action 'none'"
    return environment.get_template(f"{name}.html").render(style=Markup(style), script=Markup(script), policy=policy, **values)


def data_uri(picture: Image.Image | None) -> str | None:
    """The picture as the text that an <img> can hold."""
    if picture is None:
        return None
    buffer = io.BytesIO()
    if max(picture.size) <= LOSSLESS_SIDE:
        picture.save(buffer, format="PNG", optimize=True)
        return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    picture.save(buffer, format="WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def in_bytes(number: float) -> str:
    """1536 -> 1.5 KiB."""
    if number < 1024:
        return f"{number:.0f} bytes"
    size, unit = next(((size, unit) for size, unit in ((2**30, "GiB"), (2**20, "MiB")) if number >= size), (2**10, "KiB"))
    return f"{number / size:.0f} {unit}" if number >= 100 * size else f"{number / size:.1f} {unit}"


def in_thousands(number: int) -> str:
    """1234567 -> 1.2 M."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.1f} {letter}"
    return str(number)


def in_seconds(number: float) -> str:
    """0.0123 -> 12.3 ms."""
    return f"{number:.2f} s" if number >= 1 else f"{number * 1000:.1f} ms"


def _hash(text: str) -> str:
    """How a Content Security Policy names an inline style or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
