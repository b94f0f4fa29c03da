"""Tensors from files: safetensors, and pickles where they are allowed. What is damaged is an error that says how."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ldmcli.errors import LdmError
from ldmcli.models.header import AGAIN, read_header
from ldmcli.models.layout import is_pickle
from ldmcli.models.pickles import read_pickle
from ldmcli.networks.file_weights import tensor_of_file

TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2, "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}  # fmt: skip
"""What we read ourselves. A file with any other is read by its library."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of one file, on the CPU; the large ones of a safetensors file are mapped into memory, see file_weights."""
    if is_pickle(path):
        return read_pickle(path)
    header = read_header(path)  # says whether the file is whole, and its header true
    if set(header.types.values()) <= TYPES.keys():
        with path.open("rb") as file:
            return {key: tensor_of_file(file, header.starts[key], shape, TYPES[header.types[key]]) for key, shape in header.shapes.items()}
    try:
        return load_file(path)
    except (SafetensorError, ValueError) as error:
        raise LdmError(f"{path} is damaged or not a safetensors file: {error}", hint=AGAIN) from error
