"""Pictures as files: PNG, WebP or JPEG with their settings inside, written and read back. Knows no tensors."""

import io
import json
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ldmcli.errors import LdmError

EXIF_FOLDER, USER_COMMENT, MAKER_NOTE = 0x8769, 0x9286, 0x927C
UNICODE, OURS = b"UNICODE\0", b"ldm\0"
"""What the two EXIF fields begin with: the EXIF standard's code for UTF-16, and our own name."""

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


def parameters_text(facts: dict[str, Any], sampler: str, schedule_type: str | None) -> str:
    """The text that Stable Diffusion web UIs write and read under the key `parameters`."""
    lines = [facts["prompt"]]
    if facts["negative_prompt"]:
        lines.append(f"Negative prompt: {facts['negative_prompt']}")
    fields = {
        "Steps": facts["scheduler"]["steps"],
        "Sampler": sampler,
        "Schedule type": schedule_type,
        "CFG scale": f"{facts['cfg']:g}",
        "Guidance interval": "{:g}-{:g}".format(*facts["cfg_interval"]) if facts["cfg_interval"] else None,
        "Seed": facts["seed"],
        "Size": f"{facts['width']}x{facts['height']}",
        "Model hash": facts["unet_sha256"][:10],
        "Model": facts["model"],
        "Prompt weighting": facts["weighting"] if facts["weighting"] != "none" else None,
        "Long prompts": "on" if facts["long_prompts"] else None,
        "Lora hashes": ", ".join(f"{lora['name']}: {lora['sha256'][:12]}" for lora in facts.get("loras", ())) or None,
        "RNG": "CPU",
        "Version": f"ldm {facts['ldm']}",
    }
    lines.append(", ".join(f"{key}: {_quoted(str(value))}" for key, value in fields.items() if value is not None))
    return "\n".join(lines)


def encode_picture(picture: Image.Image, kind: str, texts: dict[str, str] | None) -> bytes:
    """The bytes of a file. kind: png, webp (lossless) or jpg; texts: what `picture_texts` returned, None leaves them out.

    The same picture and texts make the same bytes. Raises LdmError where the texts do not fit: EXIF ends at 64 KiB.
    """
    buffer, options = io.BytesIO(), dict(SAVING[kind])
    if texts is not None:
        options |= {"pnginfo": _chunks(texts)} if kind == "png" else {"exif": _exif(texts)}
    try:
        picture.save(buffer, **options)
    except ValueError as error:
        raise LdmError(f"the settings do not fit into a .{kind} file: {error}.", hint="Try --format png, or --no-metadata.") from error
    return buffer.getvalue()


def read_texts(picture: Image.Image) -> dict[str, str]:
    """What `encode_picture` put inside, as far as it is there: keys `parameters` and `ldm`. Raises what Pillow raises on damage."""
    if picture.format == "PNG":
        texts = getattr(picture, "text", {})
        return {key: str(texts[key]) for key in ("parameters", "ldm") if key in texts}
    fields = picture.getexif().get_ifd(EXIF_FOLDER)
    comment, record = fields.get(USER_COMMENT), fields.get(MAKER_NOTE)
    texts = {}
    if isinstance(comment, bytes) and comment.startswith(UNICODE):
        texts["parameters"] = comment.removeprefix(UNICODE).decode("utf-16-be")
    if isinstance(record, bytes) and record.startswith(OURS):
        texts["ldm"] = record.removeprefix(OURS).decode("utf-8")
    return texts


def _chunks(texts: dict[str, str]) -> PngInfo:
    info = PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    return info


def _exif(texts: dict[str, str]) -> Image.Exif:
    """UserComment as web UIs write it (big-endian UTF-16, whatever the byte order of the file); our record as a maker's note."""
    exif = Image.Exif()
    exif.get_ifd(EXIF_FOLDER).update(
        {USER_COMMENT: UNICODE + texts["parameters"].encode("utf-16-be"), MAKER_NOTE: OURS + texts["ldm"].encode("utf-8")}
    )
    return exif


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(mark in value for mark in ",:\n") else value
