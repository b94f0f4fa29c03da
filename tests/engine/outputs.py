"""What lies in a folder that `generate` wrote to."""

import json

from PIL import Image
from PIL.PngImagePlugin import PngInfo


def pictures(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def stamps(folder):
    """Changes when a file is written again, even with the same bytes."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("*.png")}


def rows_of(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines() if line.endswith("}")]


def spoil(path, text=None, scheduler=None, drop=(), **changes):
    """Write other facts into a picture's `ldm` chunk."""
    with Image.open(path) as picture:
        facts, pixels = json.loads(picture.text["ldm"]), picture.copy()
    facts.update(changes)
    facts["scheduler"].update(scheduler or {}) if isinstance(facts["scheduler"], dict) else None
    for key in drop:
        del facts[key]
    info = PngInfo()
    info.add_text("ldm", json.dumps(facts) if text is None else text)
    pixels.save(path, pnginfo=info)
