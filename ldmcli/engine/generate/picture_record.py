"""A picture's own record, read back: typed fields only, nothing in it is ever executed. Imports no torch."""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from ldmcli.config.generation import GenerateConfig
from ldmcli.config.kinds import json_types
from ldmcli.config.option import ALWAYS
from ldmcli.config.options import declared
from ldmcli.engine.jobs import changed
from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.outputs.picture_files import read_texts
from ldmcli.records.pictures import PICTURE_SCHEMA
from ldmcli.runtime.pictures import OUR_PIXELS, open_picture

OPTIONS = {name: each for name, each in declared(GenerateConfig).items() if each.recorded}
"""The options that a picture states under their own names."""

LATER = {name: each.before for name, each in OPTIONS.items() if each.before is not ALWAYS}
"""What pictures of earlier versions do not state, and what drew them."""

TYPES: dict[str, tuple[type, ...]] = {
    "prompt": (str,),
    **{name: (*json_types(each.kind), *((type(None),) if each.before is None else ())) for name, each in OPTIONS.items()},
    "model": (str,),
    "unet_sha256": (str,),
    "scheduler": (dict,),
}
FILES = ("init_image", "mask")
"""The options whose files a picture records by name and content."""

CONDITIONS = {
    "ldm": "ldm", "torch": "torch", "threads": "threads", "machine": "processor", "instruction_set": "instruction set", "device": "device",
    "dtype": "precision", "vae_dtype": "precision of the VAE", "vae_retried_in_fp32": "VAE decoded again in fp32", "schema": "schema",
    "batch_size": "pictures at a time",
}  # fmt: skip
"""What decides the last bits of a picture beside its options and weights, in the order in which it is named, and in which words."""

SCHEDULER_TYPES: dict[str, tuple[type, ...]] = {"name": (str,), "steps": (int,), "spacing": (str,), "sigma_clipped": (bool,)}

UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises on damaged pictures."""


@dataclass(frozen=True)
class PictureRecord:
    """What a picture says of itself. options: for GenerateConfig; model and unet_sha256: which weights drew it.

    vae_sha256, tokenizer_sha256: where it was another than the model's own, or the model is a file, which has no tokenizer.
    loras: (name, sha256, scale) of each that was merged. files: (name, sha256) of what --init-image and --mask named, by option.
    """

    options: dict[str, Any]
    prompt: str
    model: str
    unet_sha256: str
    lossy: bool
    """The file does not hold the pixels that were drawn."""
    vae_sha256: str | None = None
    tokenizer_sha256: str | None = None
    loras: tuple[tuple[str, str, float], ...] = ()
    files: dict[str, tuple[str, str]] = field(default_factory=dict)
    schema: int = PICTURE_SCHEMA
    conditions: dict[str, str | int | None] = field(default_factory=dict)
    """Under which it was drawn, by key of CONDITIONS; None where it does not say."""


def read_record(path: Path) -> PictureRecord:
    """The `ldm` text in a picture. Raises NotFound without a file, LdmError without a usable record."""
    try:
        with open_picture(path, max_pixels=OUR_PIXELS) as picture:
            text, lossy = read_texts(picture).get("ldm"), picture.format == "JPEG"
            picture.load()  # a file that was cut off is told, though its record stands in front
    except FileNotFoundError as error:
        raise NotFound(f"--from-image {path}: no such file.") from error
    except UNREADABLE as error:
        raise LdmError(f"--from-image {path}: not a readable picture: {error}") from error
    if text is None:
        raise LdmError(
            f"--from-image {path} has no `ldm` record.", hint="Only pictures made by `ldm generate` without --no-metadata have one."
        )
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LdmError(f"--from-image {path}: its record is damaged: not JSON.") from error
    try:
        return _parse(facts, lossy)
    except UsageError as error:
        raise LdmError(f"--from-image {path}: its record is damaged: {error.message}") from error
    except OverflowError as error:
        raise LdmError(f"--from-image {path}: its record is damaged: a number is too large.") from error


def _parse(facts: Any, lossy: bool) -> PictureRecord:
    """Raises UsageError for anything that `ldm` would not have written."""
    if not isinstance(facts, dict):
        raise UsageError("not a JSON object.")
    if "sheet" in facts:
        raise UsageError("it is a sheet that shows several pictures.")
    schema = facts.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool) or not 1 <= schema <= PICTURE_SCHEMA:
        known = "schema 1" if PICTURE_SCHEMA == 1 else f"schemas 1 to {PICTURE_SCHEMA}"
        raise UsageError(f"schema {schema!r:.80}; this version of ldm reads {known}.")
    values = _typed({**LATER, **facts}, TYPES)
    for name, each in OPTIONS.items():
        if each.kind.pair and values[name] is not None:
            values[name] = _pair(name, values[name])
    scheduler = _typed(values["scheduler"], SCHEDULER_TYPES)
    options = {key: values[key] for key in OPTIONS}
    options |= {"scheduler": scheduler["name"], "steps": scheduler["steps"], "spacing": scheduler["spacing"]}
    options["sigma_clip"] = scheduler["sigma_clipped"]
    changed(GenerateConfig(), {**options, "prompts": (values["prompt"],)})
    if options["dtype"] not in ("fp32", "fp16", "bf16"):
        raise UsageError(f"dtype {options['dtype']!r}.")
    others = _typed(facts, {key: (str,) for key in ("vae_sha256", "tokenizer_sha256") if key in facts})
    loras = tuple(_lora(entry) for entry in _typed({"loras": [], **facts}, {"loras": (list,)})["loras"])
    files = {name: _file(name, facts[name]) for name in FILES if facts.get(name) is not None}
    conditions = {key: value if isinstance(value := facts.get(key), str | int) else None for key in CONDITIONS}
    return PictureRecord(
        options, values["prompt"], values["model"], values["unet_sha256"], lossy, loras=loras, files=files, schema=schema,
        conditions=conditions, **others,
    )  # fmt: skip


def _file(name: str, entry: Any) -> tuple[str, str]:
    if not isinstance(entry, dict):
        raise UsageError(f"{name} = {entry!r:.80}.")
    values = _typed(entry, {"name": (str,), "sha256": (str,)})
    return values["name"], values["sha256"]


def _lora(entry: Any) -> tuple[str, str, float]:
    if not isinstance(entry, dict):
        raise UsageError(f"loras = [{entry!r:.80}].")
    values = _typed(entry, {"name": (str,), "sha256": (str,), "scale": (int, float)})
    return values["name"], values["sha256"], values["scale"]


def _pair(name: str, value: list[Any]) -> tuple[float, float]:
    if len(value) != 2 or any(isinstance(end, bool) or not isinstance(end, int | float) for end in value):
        raise UsageError(f"{name} = {value!r:.80}.")
    return float(value[0]), float(value[1])


def _typed(facts: dict[str, Any], types: dict[str, tuple[type, ...]]) -> dict[str, Any]:
    for key, kinds in types.items():
        value = facts.get(key)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise UsageError(f"{key} = {value!r:.80}." if key in facts else f"there is no `{key}`.")
    return {key: float(facts[key]) if float in kinds and facts[key] is not None else facts[key] for key, kinds in types.items()}
