"""Tensors from files: safetensors, and pickles where they are allowed. What is damaged is an error that says how."""

import json
import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ldmcli.errors import LdmError, NotFound
from ldmcli.models.layout import PICKLES


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of one file, on the CPU; a safetensors file is mapped into memory and read when a tensor is."""
    if not path.is_file():
        raise NotFound(f"{path} is missing.")
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(b"version https://git-lfs"):
        raise NotFound(f"{path} is a git-lfs pointer, not the weights.", hint="Run `git lfs pull` in that repository.")
    if path.suffix in PICKLES:
        return _unpickled(path)
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        size, wanted = path.stat().st_size, _stated_size(path)
        if wanted and size < wanted:
            raise LdmError(f"{path} is truncated: got {size} of {wanted} bytes.", hint="Get the file again.") from error
        raise LdmError(f"{path} is damaged or not a safetensors file: {error}", hint="Get the file again.") from error


def _unpickled(path: Path) -> dict[str, Tensor]:
    """Only tensors and plain containers are rebuilt; a file that wants anything else run is refused by torch, and nothing of it runs."""
    try:
        body = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise LdmError(f"{path} contains code or is damaged; refused, nothing was run.", hint="Get the model as .safetensors.") from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise LdmError(f"{path} is damaged or no file of torch: {error}", hint="Get the file again.") from error
    body = body.get("state_dict", body) if isinstance(body, dict) else {}  # training frameworks wrap it
    return {key: value for key, value in body.items() if isinstance(key, str) and isinstance(value, Tensor)}


def _stated_size(path: Path) -> int | None:
    """Bytes that a safetensors file must have by its own header, None if the header cannot be read."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        start = file.read(length) if length <= 100_000_000 else b""
    if len(start) < length:
        return 8 + length if start.startswith(b'{"') else None
    try:
        header = json.loads(start)
        return 8 + length + max((tensor["data_offsets"][1] for key, tensor in header.items() if key != "__metadata__"), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None
