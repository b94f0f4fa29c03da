"""Arguments of Python's calls, read and checked by the declared options of the command line. Imports no torch."""

import difflib
import numbers
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from ldmcli.config.checks import check
from ldmcli.config.generation import GenerateConfig
from ldmcli.config.options import find_key
from ldmcli.config.reading import fields_of, read_data
from ldmcli.config.sampling import Spacing
from ldmcli.engine.jobs import changed

Path = str | os.PathLike[str]


class ModelArguments(TypedDict, total=False):
    """What `load` takes beside model, device and dtype. Each is the option of `ldm generate` of that name, and has its default."""

    vae: Path | None
    tokenizer: Path | None
    lora: Path | Sequence[Path]
    prediction: Literal["epsilon", "v"] | None
    variant: str | None
    allow_pickle: bool
    offline: bool
    vae_dtype: str
    fuse: bool
    backend: Literal["torch", "openvino"]


class DrawingArguments(TypedDict, total=False):
    """What drawing takes beside the prompt and the seed. Each is the option of `ldm generate` of that name, and has its default.

    share: where the picture lies on the way to seed_to and prompt_to, from 0 to 1; the command line asks for all --frames of it.
    """

    negative_prompt: str
    scheduler: str | None
    steps: int | None
    cfg: float | None
    preset: Literal["exact", "balanced", "fast"] | None
    cfg_rescale: float
    cfg_interval: tuple[float, float] | None
    cfg_reuse: int | None
    spacing: Spacing | None
    sigma_clip: bool
    weighting: Literal["none", "a1111"]
    long_prompts: bool
    width: int | None
    height: int | None
    size: str
    tiled_decode: bool | None
    upscale: int
    resample: Literal["nearest", "lanczos"]
    init_image: Path | None
    strength: float | None
    mask: Path | None
    variation: str | None
    seed_to: int | None
    prompt_to: str | None
    share: float | None


MODEL = ("model", "device", "dtype", *ModelArguments.__annotations__)
DRAWING = ("seed", *DrawingArguments.__annotations__)
"""All that a call takes by name."""


def read_arguments(config: GenerateConfig, given: Mapping[str, Any], known: Sequence[str], call: str) -> GenerateConfig:
    """The config with what was passed, checked. known: MODEL or DRAWING; None means the default. Raises UsageError."""
    fields = {each.field for name in known if (each := find_key(GenerateConfig, name))}
    values = {}
    for name, value in given.items():
        each = find_key(GenerateConfig, name)
        if each is None or each.field not in fields:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f"Did you mean {close[0]}? " if close else ""
            check(False, f"{call} takes no {name!r}.", f"{meant}It takes {', '.join(known)}.")
        elif value is not None:
            values[each.field] = read_data(each, plain(value), name)
    return changed(config, fields_of(GenerateConfig, values))


def plain(value: Any) -> Any:
    """What the options read: paths and torch's dtypes and devices as text, numbers of NumPy as Python's, tuples as lists."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if type(value).__module__ == "torch" and type(value).__name__ in ("dtype", "device"):
        return str(value).removeprefix("torch.")
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool | int) else value
