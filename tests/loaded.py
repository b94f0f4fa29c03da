"""Networks that are read once: building and filling the same three again and again took half the time of every test that draws."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from ldmcli.models import loading
from ldmcli.models.layout import component_folder
from ldmcli.networks import file_weights


def own(module: nn.Module) -> nn.Module:
    """A copy with weights and hooks of its own. copy.deepcopy takes as long as building it."""
    twin = module.__new__(type(module))
    twin.__dict__.update({name: value.copy() if isinstance(value, dict) else value for name, value in vars(module).items()})
    twin._parameters.update({name: nn.Parameter(value.clone(), False) for name, value in twin._parameters.items() if value is not None})
    twin._buffers.update({name: value.clone() for name, value in twin._buffers.items() if value is not None})
    twin._modules.update({name: own(child) for name, child in twin._modules.items() if child is not None})
    return twin


def state_of(model: Path, name: str) -> tuple[object, ...]:
    """Differs as soon as any file of this network is another one."""
    folders = (model.parent,) if model.is_file() else (model, component_folder(model, name))
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    return tuple((str(path), *(getattr(path.stat(), f"st_{what}") for what in ("ino", "size", "mtime_ns", "ctime_ns"))) for path in files)


@contextmanager
def loading_once(known: dict[tuple[object, ...], nn.Module]) -> Iterator[None]:
    """While this lasts, a network is read the first time, and copied as long as its files are the same ones. known: those that were read.

    One whose weights stay in their file is always read.
    """
    read = loading._load

    def load(files: loading.Files, model: Path, picking: Any) -> Any:
        if not (model.is_file() or component_folder(model, files.name).is_dir()):
            return read(files, model, picking)
        key = (files.name, model, file_weights.SMALLEST, tuple(sorted(picking.items())), *state_of(model, files.name))
        if key in known:
            return own(known[key])
        network = read(files, model, picking)
        if not any(file_weights.stays_in_file(weight) for weight in network.parameters()):
            known[key] = own(network)
        return network

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "_load", load)
        yield
