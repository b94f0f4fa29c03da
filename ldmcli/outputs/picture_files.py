"""Pictures as files: PNG, WebP or JPEG with their settings inside, written and read back. Knows no tensors."""

import io
import json
import re
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ldmcli.errors import LdmError
from ldmcli.outputs.exif_comment import decode_comment
from ldmcli.outputs.provenance import KEY, xmp_packet
from ldmcli.prompts.parameters import parameters_text

EXIF_FOLDER, USER_COMMENT, MAKER_NOTE = 0x8769, 0x9286, 0x927C
UNICODE, OURS = b"UNICODE\0", b"ldm\0"
"""What the two EXIF fields begin with: the EXIF standard's code for UTF-16, and our own name."""
COMFY_FIELDS = (0x010F, 0x0110)
"""Make and Model, where ComfyUI keeps `prompt:{...}` and `workflow:{...}` of a WebP."""
KEYED = re.compile(r"(prompt|workflow):\s*(?=\{)", re.IGNORECASE)

KNOWN_KEYS = frozenset({"ldm", "parameters", "prompt", "invokeai_metadata", "sd-metadata", "Dream"})
"""Texts that are read. A PNG that has none of them before its pixels may have them behind."""

SAVING: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG"},
    "webp": {"format": "WEBP", "lossless": True, "exact": True},
    "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
}


def picture_texts(facts: dict[str, Any], sampler: str, schedule_type: str | None) -> dict[str, str]:
    """The two texts inside a picture: `parameters` for other tools, `ldm` with everything as JSON."""
    return {
        "parameters": parameters_text(facts, sampler, schedule_type),
        "ldm": json.dumps(facts, ensure_ascii=False, sort_keys=True),
    }


def sheet_texts(kind: str) -> dict[str, str]:
    """What stands in a file that shows several pictures, so that none is taken for one.

    kind: grid, strip, animation, samples, reconstructions.
    """
    return {"ldm": json.dumps({"schema": 1, "sheet": kind}, sort_keys=True)}


def sheet_comment(kind: str) -> bytes:
    """The same as the comment of a GIF."""
    return OURS + sheet_texts(kind)["ldm"].encode()


def sheet_kind(texts: dict[str, str]) -> str | None:
    """What kind of sheet of ours these texts come from, if they do."""
    try:
        facts = json.loads(texts.get("ldm", "null"))
    except (ValueError, RecursionError):
        return None
    kind = facts.get("sheet") if isinstance(facts, dict) else None
    return kind if isinstance(kind, str) else None


def encode_picture(picture: Image.Image, kind: str, texts: dict[str, str] | None, *, provenance: bool = True) -> bytes:
    """The bytes of a file. kind: png, webp (lossless) or jpg; texts: what `picture_texts` returned, None leaves out all that is no pixel.

    provenance: beside the texts, XMP that says a model drew it (see `provenance`); {} as texts of a PNG is that alone.
    The same picture and texts make the same bytes. Raises LdmError where the texts do not fit: EXIF ends at 64 KiB.
    """
    buffer = io.BytesIO()
    try:
        picture.save(buffer, **saving_options(kind, texts, provenance=provenance))
    except ValueError as error:
        raise LdmError(f"the settings do not fit into a .{kind} file: {error}.", hint="Try --format png, or --no-metadata.") from error
    return buffer.getvalue()


def saving_options(kind: str, texts: dict[str, str] | None, *, provenance: bool = True) -> dict[str, Any]:
    """What Pillow's `save` is told; see encode_picture."""
    if texts is None:
        return dict(SAVING[kind])
    xmp = xmp_packet(texts) if provenance else None
    if kind == "png":
        return SAVING[kind] | {"pnginfo": png_chunks(texts, xmp)}
    return SAVING[kind] | {"exif": _exif(texts)} | ({"xmp": xmp.encode()} if xmp else {})


def read_texts(picture: Image.Image) -> dict[str, str]:
    """The texts in a picture, by key: of PNG its text chunks, of a GIF ours, of all others and of a PNG without texts its EXIF fields.

    `parameters` and `ldm` are what `encode_picture` put inside; in EXIF `parameters` is the comment of whatever tool. Raises what Pillow
    raises on damage.
    """
    if picture.format == "GIF":
        return _comment_of_gif(picture)
    texts: dict[str, str] = {}
    if picture.format == "PNG":
        texts = {str(key): str(text) for key, text in picture.info.items() if isinstance(text, str)}
    if not KNOWN_KEYS & texts.keys() and picture.format == "PNG":
        texts = {key: str(text) for key, text in getattr(picture, "text", {}).items()}  # decodes the picture to get behind it
    texts.pop(KEY, None)
    return texts if KNOWN_KEYS & texts.keys() else {**texts, **_exif_texts(picture)}


def png_chunks(texts: dict[str, str], xmp: str | None = None) -> PngInfo:
    """For `pnginfo` of Pillow."""
    info = PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    if xmp is not None:
        info.add_itxt(KEY, xmp)
    return info


def _exif_texts(picture: Image.Image) -> dict[str, str]:
    exif = picture.getexif()
    fields = exif.get_ifd(EXIF_FOLDER)
    texts = {}
    for field in COMFY_FIELDS:
        value = exif.get(field)
        if isinstance(value, str) and (key := KEYED.match(value)):
            texts[key[1].lower()] = value[key.end() :].rstrip("\0")
    comment = fields.get(USER_COMMENT, exif.get(USER_COMMENT))  # Fooocus writes it beside the folder where it belongs
    if isinstance(comment, bytes | str) and (text := decode_comment(comment)):
        texts["parameters"] = text
    record = fields.get(MAKER_NOTE)
    if isinstance(record, bytes) and record.startswith(OURS):
        texts["ldm"] = record.removeprefix(OURS).decode("utf-8")
    return texts


def _comment_of_gif(picture: Image.Image) -> dict[str, str]:
    comment = picture.info.get("comment")
    return {"ldm": comment.removeprefix(OURS).decode("utf-8")} if isinstance(comment, bytes) and comment.startswith(OURS) else {}


def _exif(texts: dict[str, str]) -> Image.Exif:
    """UserComment as web UIs write it (big-endian UTF-16, whatever the byte order of the file); our record as a maker's note."""
    exif = Image.Exif()
    exif.get_ifd(EXIF_FOLDER).update(
        {USER_COMMENT: UNICODE + texts["parameters"].encode("utf-16-be"), MAKER_NOTE: OURS + texts["ldm"].encode("utf-8")}
    )
    return exif
