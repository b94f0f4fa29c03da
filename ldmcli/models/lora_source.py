"""What a `--lora FILE:SCALE` means: which file, under which name, how strongly. Imports no torch, so that a typo fails at once."""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.models.header import read_header
from ldmcli.models.layout import is_pickle, is_safetensors
from ldmcli.readers.json_text import parse_json
from ldmcli.readers.tables import LORA, LORA_PARTS
from ldmcli.runtime.remote import public, url_of
from ldmcli.runtime.remote_cache import local_copy

LORA_FILE = "pytorch_lora_weights.safetensors"
"""diffusers' name for it; a training run keeps its own in RUN/lora/."""

METADATA = "lora_adapter_metadata"
"""Where diffusers keeps peft's settings in the header of the file."""

LITERAL = re.compile(r"[\w.]+")
"""A name of a layer as it is spelled."""

ACCEPTED = "Pass a .safetensors file, a folder with one, or a run of `ldm train-unet --lora-rank`; :SCALE may follow."


@dataclass(frozen=True)
class LoraSource:
    """name: what pictures record (never a path); scale: what the whole change is multiplied by."""

    name: str
    path: Path
    scale: float = 1.0

    @cached_property
    def sha256(self) -> str:
        """Of the file, in hex."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @cached_property
    def weights_sha256(self) -> str:
        """Of what follows the header, in hex: what A1111 and Civitai know a LoRA by, whatever notes its header holds."""
        with self.path.open("rb") as file:
            file.seek(8 + int.from_bytes(file.read(8), "little"))
            return hashlib.file_digest(file, "sha256").hexdigest()

    def facts(self) -> dict[str, Any]:
        """What pictures record of it."""
        return {"name": self.name, "sha256": self.sha256, "weights_sha256": self.weights_sha256, "scale": self.scale}


def find_loras(texts: Sequence[str]) -> tuple[LoraSource, ...]:
    """Each `--lora` in the order in which they were typed. Raises NotFound, UsageError, and LdmError for a damaged file."""
    found = tuple(find_lora(text) for text in texts)
    for lora in found:
        if is_safetensors(lora.path):
            read_settings(lora.path)
    return found


def read_settings(path: Path) -> dict[str, dict[str, Any]]:
    """What the header says to peft, by part: lora_alpha, alpha_pattern, ... Raises LdmError, also for a pattern that is no plain name."""
    where = f"{path}, {METADATA} in its header"
    stated = parse_json(read_header(path).metadata.get(METADATA, "{}"), where, LORA)
    own = {part: {k.removeprefix(f"{part}."): v for k, v in stated.items() if k.startswith(f"{part}.")} for part in LORA_PARTS}
    for part, values in own.items():
        for name in values.get("alpha_pattern") or {}:
            if not LITERAL.fullmatch(name):  # peft takes it for a regular expression, which can be made to run for ever
                raise LdmError(
                    f"{where}: {part}.alpha_pattern has {name[:60]!r}, which is no name of a layer; refused.",
                    hint="Names of layers, or their ends, are read.",
                )
    return own


def find_lora(text: str) -> LoraSource:
    """FILE_OR_FOLDER, or FILE_OR_FOLDER:SCALE. Raises NotFound for what is not there, UsageError for a scale that is no number."""
    place, scale = _split(text)
    path = Path(place).expanduser() if url_of(place) is None else local_copy(place)
    if path.is_dir():
        return LoraSource(path.resolve().name, _in_folder(path), scale)
    if not path.is_file():
        raise NotFound(f"--lora {public(place)}: no such file or folder.", hint=ACCEPTED)
    if is_pickle(path):
        raise LdmError(f"--lora {public(place)} is a pickle, which can run code when loaded; refused.", hint="Get it as .safetensors.")
    return LoraSource(path.stem, path, scale)


def _split(text: str) -> tuple[str, float]:
    """Apart at the last colon, unless that belongs to a path that is there."""
    place, colon, number = text.rpartition(":")
    if not colon or not place or Path(text).expanduser().exists():
        return text, 1.0
    try:
        scale = float(number)
    except ValueError:
        if Path(place).expanduser().exists():
            raise UsageError(f"--lora {text}: {number!r} is not a scale.", hint="A number is needed, such as :0.8.") from None
        return text, 1.0
    if not math.isfinite(scale):
        raise UsageError(f"--lora {text}: the scale must be a finite number.", hint="1 is as it was trained, 0 is nothing.")
    return place, scale


def _in_folder(folder: Path) -> Path:
    """RUN/lora/'s file, or diffusers' in the folder itself, or the only .safetensors file there."""
    for candidate in (folder / "lora" / LORA_FILE, folder / LORA_FILE):
        if candidate.is_file():
            return candidate
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return found[0]
    listed = ", ".join(path.name for path in found[:5]) or f"no {LORA_FILE}"
    raise NotFound(f"--lora {folder} does not hold one LoRA: {listed}.", hint="Name the file." if found else ACCEPTED)
