"""What a picture itself says it was drawn from: our own record, or the metadata of A1111, Civitai, ComfyUI, InvokeAI and their kin."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ldmcli.data.comfy_graph import comfy_prompt
from ldmcli.errors import LdmError
from ldmcli.outputs.picture_files import read_texts, sheet_kind
from ldmcli.prompts.parameters import read_parameters
from ldmcli.prompts.syntax import without_syntax
from ldmcli.prompts.weighting import words
from ldmcli.readers.json_text import parse_json
from ldmcli.runtime.pictures import OUR_PIXELS, open_picture

MAY_BE_SHEETS = (".png", ".gif")
"""What sheets of ours are written as."""
COMPEL = re.compile(r"(?<=[\w)\"])(?:\+{1,}|-{2,})(?![\w+-])|(?<=\))\d*\.?\d+")
"""InvokeAI's weights: word++, (some words)--, (some words)1.3."""


@dataclass(frozen=True)
class Origin:
    """prompt: the words that were meant, without weights and tags; model: as our record names it; sheet: its kind, for one of ours."""

    prompt: str | None = None
    model: str | None = None
    sheet: str | None = None


def read_origin(path: Path) -> Origin:
    """Never raises: a damaged picture is reported where it is scored."""
    try:
        with open_picture(path, max_pixels=OUR_PIXELS) as picture:
            texts = read_texts(picture)
        if "ldm" in texts:
            return _own(texts)
        for key, read in READERS.items():
            if key in texts and (prompt := read(texts[key])) is not None:
                return Origin(prompt.strip())
    except Exception:  # damaged pictures make Pillow raise almost anything
        pass
    return Origin()


def is_sheet(path: Path) -> bool:
    """Whether it is a sheet of ours: known without decoding its pixels."""
    if path.suffix.lower() not in MAY_BE_SHEETS:
        return False
    try:
        with open_picture(path, max_pixels=OUR_PIXELS) as picture:
            own = picture.info.get("ldm")
            texts = {"ldm": str(own)} if own else read_texts(picture) if picture.format == "GIF" else {}
    except Exception:
        return False
    return sheet_kind(texts) is not None


def _own(texts: dict[str, str]) -> Origin:
    facts = parse_json(texts["ldm"], "")
    if (kind := sheet_kind(texts)) is not None:
        return Origin(sheet=kind)
    prompt, model, weighting = (facts.get(key) if isinstance(facts.get(key), str) else None for key in ("prompt", "model", "weighting"))
    return Origin(None if prompt is None else words(prompt, weighting or "none"), model)


def _parameters(text: str) -> str | None:
    """A1111's text, or an object of tools that use its key for their own (Fooocus, SwarmUI, Civitai's graphs)."""
    body = _object(text)
    if body is not None:
        inner = body.get("sui_image_params", body)
        prompt = inner.get("prompt") if isinstance(inner, dict) else None
        return without_syntax(prompt) if isinstance(prompt, str) else _comfy(text)
    prompt, _, settings = read_parameters(text)
    return without_syntax(prompt, weighting="none" if settings.get("Emphasis") == "None" else "a1111")


def _comfy(text: str) -> str | None:
    prompt = comfy_prompt(_object(text))
    return None if prompt is None else without_syntax(prompt)


def _prompt(text: str) -> str | None:
    """A graph of ComfyUI, or of simpler tools the prompt itself."""
    return without_syntax(text) if _object(text) is None else _comfy(text)


def _invokeai(text: str) -> str | None:
    prompt = (_object(text) or {}).get("positive_prompt")
    return without_syntax(COMPEL.sub("", prompt)) if isinstance(prompt, str) else None


def _invokeai_2(text: str) -> str | None:
    """`sd-metadata` of InvokeAI 2: a prompt, or pieces with weights; what stands in square brackets is not wanted."""
    prompt = ((_object(text) or {}).get("image") or {}).get("prompt")
    if isinstance(prompt, list):
        prompt = " ".join(piece["prompt"] for piece in prompt if piece.get("weight", 1) > 0)
    return _without_unwanted(prompt) if isinstance(prompt, str) else None


def _dream(text: str) -> str | None:
    """`"a cat" -s 50 -S 7 ...` of InvokeAI 1."""
    match = re.match(r'"(.*?)"(?=\s+-|\s*$)', text, re.DOTALL)
    return _without_unwanted(match[1]) if match else None


def _without_unwanted(prompt: str) -> str:
    return without_syntax(COMPEL.sub("", re.sub(r"\[[^\[\]]*\]", "", prompt)))


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, if it is one."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        body = parse_json(text.strip().strip("\0"), "")
    except LdmError:
        return None
    return body if isinstance(body, dict) else None


READERS = {
    "parameters": _parameters,
    "invokeai_metadata": _invokeai,
    "sd-metadata": _invokeai_2,
    "Dream": _dream,
    "prompt": _prompt,
}
"""By the key of the text; the first that says something counts."""
