"""Tensors to pictures and back, and the metadata in PNG files."""

import json
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ldmcli.errors import NonFinite


def to_uint8(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> (B, H, W, 3) uint8, rounded as diffusers does. Raises NonFinite."""
    if not pictures.isfinite().all():
        raise NonFinite("the decoded picture holds NaN or infinity.", hint="Try --dtype fp32.")
    unit = (pictures.float() / 2 + 0.5).clamp(0, 1)
    return (unit * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu()


def to_pillow(pictures: Tensor) -> list[Image.Image]:
    """(B, 3, H, W) in [-1, 1] -> one Pillow picture each."""
    return [Image.fromarray(np.ascontiguousarray(array.numpy())) for array in to_uint8(pictures)]


def enlarged(picture: Image.Image, times: int, resample: str) -> Image.Image:
    """resample: nearest or lanczos."""
    if times == 1:
        return picture
    filters = {"nearest": Image.Resampling.NEAREST, "lanczos": Image.Resampling.LANCZOS}
    return picture.resize((picture.width * times, picture.height * times), filters[resample])


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
        "RNG": "CPU",
        "Version": f"ldm {facts['ldm']}",
    }
    lines.append(", ".join(f"{key}: {_quoted(str(value))}" for key, value in fields.items() if value is not None))
    return "\n".join(lines)


def png_chunks(facts: dict[str, Any], sampler: str, schedule_type: str | None) -> PngInfo:
    """The two text chunks of a picture: `parameters` for other tools, `ldm` with everything as JSON."""
    info = PngInfo()
    info.add_text("parameters", parameters_text(facts, sampler, schedule_type))
    info.add_text("ldm", json.dumps(facts, ensure_ascii=False, sort_keys=True))
    return info


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(mark in value for mark in ",:\n") else value
