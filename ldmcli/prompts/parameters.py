"""The text that Stable Diffusion web UIs keep in their pictures under the key `parameters`, written and read by the rules of A1111."""

import json
import re
from collections.abc import Iterator
from typing import Any

NEGATIVE = "Negative prompt:"
FEWEST_SETTINGS = 3
"""A last line with fewer is not settings but words."""

SETTING = re.compile(r'(?<![\w \-/])[ \-/]*+(\w[\w \-/]++):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
"""Finds what A1111's `\\s*(\\w[\\w \\-/]+):\\s*("(?:\\\\.|[^\\\\"])+"|[^,]*)(?:,|$)`
finds, but never looks twice at a long line without a colon."""


def parameters_text(facts: dict[str, Any], sampler: str, schedule_type: str | None) -> str:
    """What a picture of ours says to other tools. facts: its record."""
    lines = [facts["prompt"]]
    if facts["negative_prompt"]:
        lines.append(f"{NEGATIVE} {facts['negative_prompt']}")
    fields = {
        "Steps": facts["scheduler"]["steps"],
        "Sampler": sampler,
        "Schedule type": schedule_type,
        "CFG scale": f"{facts['cfg']:g}",
        "Guidance interval": "{:g}-{:g}".format(*facts["cfg_interval"]) if facts["cfg_interval"] else None,
        "Guidance reuse": facts.get("cfg_reuse"),
        "Seed": facts["seed"],
        "Size": f"{facts['width']}x{facts['height']}",
        "Model hash": facts["unet_sha256"][:10],
        "Model": facts["model"],
        "Denoising strength": _number(facts.get("strength")),
        "Variation seed": facts["variation"].partition(":")[0] if "variation" in facts else None,
        "Variation seed strength": _number(float(facts["variation"].partition(":")[2])) if "variation" in facts else None,
        "Prompt weighting": facts["weighting"] if facts["weighting"] != "none" else None,
        "Long prompts": "on" if facts["long_prompts"] else None,
        "Lora hashes": ", ".join(_lora_hashes(facts)) or None,
        "RNG": "CPU",
        "Version": f"ldm {facts['ldm']}",
    }
    lines.append(", ".join(f"{key}: {_quoted(str(value))}" for key, value in fields.items() if value is not None))
    return "\n".join(lines)


def read_parameters(text: str) -> tuple[str, str, dict[str, str]]:
    """(prompt, negative prompt, settings) as A1111 reads them back: settings are the last line if it holds at least three of them."""
    *lines, last = text.strip().split("\n")
    settings = dict(SETTING.findall(last))
    if len(SETTING.findall(last)) < FEWEST_SETTINGS:
        lines, settings = [*lines, last], {}
    lines = [line.strip() for line in lines]
    first = next((place for place, line in enumerate(lines) if line.startswith(NEGATIVE)), len(lines))
    negative = [line.removeprefix(NEGATIVE).strip() for line in lines[first:]]
    return "\n".join(lines[:first]), "\n".join(negative), {key: _unquoted(value) for key, value in settings.items()}


def _lora_hashes(facts: dict[str, Any]) -> Iterator[str]:
    """`name: hash` of each, as A1111 spells a name: commas and colons would end it."""
    for lora in facts.get("loras", ()):
        yield f"{lora['name'].replace(':', '').replace(',', '')}: {lora['weights_sha256'][:12]}"


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(mark in value for mark in ",:\n") else value


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        try:
            return str(json.loads(value))
        except ValueError:
            return value
    return value
