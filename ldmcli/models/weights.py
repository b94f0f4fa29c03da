"""Tensors from files: safetensors, and pickles where they are allowed. What is damaged is an error that says how."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ldmcli.errors import LdmError
from ldmcli.models.header import AGAIN, read_header
from ldmcli.models.layout import is_pickle
from ldmcli.models.pickles import read_pickle


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of one file, on the CPU; a safetensors file is mapped into memory and read when a tensor is."""
    if is_pickle(path):
        return read_pickle(path)
    read_header(path)
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise LdmError(f"{path} is damaged or not a safetensors file: {error}", hint=AGAIN) from error
