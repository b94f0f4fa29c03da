"""Tensors from files of torch.save, whose format, the pickle, is a program: it is followed without running any of what it names.

torch's own careful reader takes what holds tensors and plain containers. Training frameworks put more beside the weights: callbacks,
numpy's numbers, settings. Their classes become `Unknown`, which does nothing, so that the tensors can be had.
"""

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import torch
from torch import Tensor

from ldmcli.errors import LdmError
from ldmcli.models.header import AGAIN, check_pickle

FORBIDDEN = {"os", "posix", "nt", "sys", "subprocess", "builtins", "__builtin__", "runpy", "importlib", "shutil", "socket", "ctypes"}
"""What weights have no business with: a file that names one of these modules is meant to do harm."""


def read_pickle(path: Path) -> dict[str, Tensor]:
    """Every tensor of the file, or of the `state_dict` in it, by name. Raises LdmError for harmful and damaged files."""
    whole = check_pickle(path)  # a zip archive
    try:
        body = torch.load(path, map_location="cpu", weights_only=True, mmap=whole)
    except pickle.UnpicklingError as error:
        body = _followed(path) if whole else _refused(path, error)
    except Exception as error:  # a pickle that is no program of torch.save can fail in any way
        raise LdmError(f"{path} is damaged or no file of torch: {str(error)[:300]}", hint=AGAIN) from error
    body = body.get("state_dict", body) if isinstance(body, dict) else {}  # training frameworks wrap it
    return {key: value for key, value in body.items() if isinstance(key, str) and isinstance(value, Tensor)}


class Unknown:
    """Stands for any class or function that is not known: takes everything, does nothing."""

    def __new__(cls, *arguments: Any, **named: Any) -> "Unknown":
        return object.__new__(cls)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        pass

    def ignore(self, *arguments: Any) -> "Unknown":
        """Whatever it is called with."""
        return self

    __call__ = __setstate__ = __setitem__ = append = extend = add = ignore


_KINDS: tuple[type, ...] = (bool, bytearray, bytes, complex, dict, float, frozenset, int, list, object, range, set, slice, str, tuple)
PLAIN = {**{kind.__name__: kind for kind in _KINDS}, "getattr": Unknown}  # enumerations name that
"""Of the module builtins, what cannot harm."""


class Follower(pickle.Unpickler):
    """The pickle of a zip archive of torch.save. What it may call: torch's ways to put tensors together, containers and Unknown."""

    def __init__(self, file: BinaryIO, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file)
        self.archive, self.root = archive, root
        self.storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Never looks a name up: the answer is one of a few things that are known here."""
        if module in ("builtins", "__builtin__") and name in PLAIN:
            return PLAIN[name]
        if module.partition(".")[0] in FORBIDDEN:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        kind = getattr(torch, name, None) if module == "torch" else None
        if isinstance(kind, torch.dtype):
            return kind
        if module in ("torch", "torch.storage") and name.endswith("Storage"):
            return name
        known = {("torch._utils", "_rebuild_tensor_v2"): tensor_of, ("torch._utils", "_rebuild_parameter"): tensor_of_parameter,
                 ("collections", "OrderedDict"): OrderedDict}  # fmt: skip
        return known.get((module, name), Unknown)

    def persistent_load(self, pid: Any) -> Tensor:
        """The bytes behind ("storage", kind, number of the file, device, values) as a flat tensor."""
        _, kind, number, _, count = pid
        if number not in self.storages:
            data = bytearray(self.archive.read(f"{self.root}/data/{number}"))
            dtype = DTYPES[kind]
            self.storages[number] = torch.frombuffer(data, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)
        return self.storages[number]


DTYPES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64, "IntStorage": torch.int32, "ShortStorage": torch.int16, "CharStorage": torch.int8,
    "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip
"""torch's old names of typed storage, which its files still use."""


def tensor_of(storage: Tensor, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    """torch._utils._rebuild_tensor_v2. Raises RuntimeError where the view would reach beyond its storage."""
    return storage.as_strided(size, stride, offset)


def tensor_of_parameter(data: Tensor, *_: Any) -> Tensor:
    """torch._utils._rebuild_parameter."""
    return data


def _followed(path: Path) -> Any:
    """What the archive holds, with Unknown for every class that is not known."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(name) as file:
                return Follower(file, archive, name.removesuffix("/data.pkl")).load()  # type: ignore[arg-type]
    except pickle.UnpicklingError as error:
        _refused(path, error)
    except Exception as error:  # a pickle that is no program of torch.save can fail in any way
        raise LdmError(f"{path} is damaged or no file of torch: {error!r}", hint=AGAIN) from error


def _refused(path: Path, error: pickle.UnpicklingError) -> NoReturn:
    raise LdmError(f"{path} contains code or is damaged; refused, nothing was run.", hint="Get the model as .safetensors.") from error
