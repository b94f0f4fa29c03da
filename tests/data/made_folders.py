"""Folders of data made of bytes, and what is found in them."""

import io
import json
import tarfile
from pathlib import Path

from PIL import Image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def drawn(colour=RED, kind="PNG") -> bytes:
    body = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(body, kind)
    return body.getvalue()


def tar(*members: tuple[str, bytes]) -> bytes:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return body.getvalue()


def rows(*values: dict) -> bytes:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values).encode()


def coco(*images: dict, annotations: list[dict]) -> bytes:
    return json.dumps({"images": list(images), "annotations": annotations}).encode()


P, J = drawn(), drawn(kind="JPEG")
CAFE = "un café\n"
A = {"file_name": "a.png", "text": "a cat"}


def laid_out(root: Path, files: dict[str, bytes]) -> Path:
    for name, body in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(body)
    return root


def found(data) -> list[tuple[str, ...]]:
    return [(image.id, *image.captions) for image in data.images]
