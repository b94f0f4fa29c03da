"""A picture's own record, read back: typed fields only, nothing in it is ever executed. Imports no torch."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.jobs import changed
from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.picture_files import read_texts

TYPES: dict[str, tuple[type, ...]] = {
    "prompt": (str,),
    "negative_prompt": (str,),
    "seed": (int,),
    "cfg": (int, float),
    "cfg_rescale": (int, float),
    "cfg_interval": (list, type(None)),
    "weighting": (str,),
    "long_prompts": (bool,),
    "width": (int,),
    "height": (int,),
    "upscale": (int,),
    "resample": (str,),
    "dtype": (str,),
    "vae_dtype": (str,),
    "tiled_decode": (bool,),
    "fuse": (bool,),
    "model": (str,),
    "unet_sha256": (str,),
    "scheduler": (dict,),
}
SCHEDULER_TYPES: dict[str, tuple[type, ...]] = {"name": (str,), "steps": (int,), "spacing": (str,), "sigma_clipped": (bool,)}

LATER: dict[str, Any] = {
    "cfg_interval": None, "weighting": "none", "long_prompts": False, "vae_dtype": "auto", "tiled_decode": False, "fuse": False,
}  # fmt: skip
"""What pictures of earlier versions do not state, and what drew them."""

OPTIONS = (
    "negative_prompt", "seed", "cfg", "cfg_rescale", "cfg_interval", "weighting", "long_prompts", "width", "height", "upscale", "resample",
    "dtype", "vae_dtype", "tiled_decode", "fuse",
)  # fmt: skip

UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises on damaged pictures."""


@dataclass(frozen=True)
class Recorded:
    """What a picture says of itself. options: for GenerateConfig; model and unet_sha256: which weights drew it.

    vae_sha256: of the VAE, where it was another than the model's own. loras: (name, sha256, scale) of each that was merged.
    """

    options: dict[str, Any]
    prompt: str
    model: str
    unet_sha256: str
    lossy: bool
    """The file does not hold the pixels that were drawn."""
    vae_sha256: str | None = None
    loras: tuple[tuple[str, str, float], ...] = ()


def read_record(path: Path) -> Recorded:
    """The `ldm` text in a picture. Raises NotFound without a file, LdmError without a usable record."""
    try:
        with Image.open(path) as picture:
            text, lossy = read_texts(picture).get("ldm"), picture.format == "JPEG"
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


def _parse(facts: Any, lossy: bool) -> Recorded:
    """Raises UsageError for anything that `ldm` would not have written."""
    if not isinstance(facts, dict):
        raise UsageError("not a JSON object.")
    if facts.get("schema") != 1:
        raise UsageError(f"schema {facts.get('schema')!r}; this version of ldm reads schema 1.")
    values = _typed({**LATER, **facts}, TYPES)
    if values["cfg_interval"] is not None:
        values["cfg_interval"] = _pair(values["cfg_interval"])
    scheduler = _typed(values["scheduler"], SCHEDULER_TYPES)
    options = {key: values[key] for key in OPTIONS}
    options |= {"scheduler": scheduler["name"], "steps": scheduler["steps"], "spacing": scheduler["spacing"]}
    options["sigma_clip"] = scheduler["sigma_clipped"]
    changed(GenerateConfig(), {**options, "prompts": (values["prompt"],)})
    if options["dtype"] not in ("fp32", "fp16", "bf16"):
        raise UsageError(f"dtype {options['dtype']!r}.")
    other_vae = _typed(facts, {"vae_sha256": (str,)})["vae_sha256"] if "vae_sha256" in facts else None
    loras = tuple(_lora(entry) for entry in _typed({"loras": [], **facts}, {"loras": (list,)})["loras"])
    return Recorded(options, values["prompt"], values["model"], values["unet_sha256"], lossy, other_vae, loras)


def _lora(entry: Any) -> tuple[str, str, float]:
    if not isinstance(entry, dict):
        raise UsageError(f"loras = [{entry!r:.80}].")
    values = _typed(entry, {"name": (str,), "sha256": (str,), "scale": (int, float)})
    return values["name"], values["sha256"], values["scale"]


def _pair(value: list[Any]) -> tuple[float, float]:
    if len(value) != 2 or any(isinstance(end, bool) or not isinstance(end, int | float) for end in value):
        raise UsageError(f"cfg_interval = {value!r:.80}.")
    return float(value[0]), float(value[1])


def _typed(facts: dict[str, Any], types: dict[str, tuple[type, ...]]) -> dict[str, Any]:
    for key, kinds in types.items():
        value = facts.get(key)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise UsageError(f"{key} = {value!r:.80}." if key in facts else f"there is no `{key}`.")
    return {key: float(facts[key]) if float in kinds else facts[key] for key, kinds in types.items()}
