"""Checkpoints that are either complete or not there. Knows files and tensors, not what they mean.

A checkpoint is written into a temporary folder beside its place, flushed to disk and renamed; its manifest, with a
checksum of every file, is written last. What has no valid manifest is not a checkpoint.
"""

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from ldmcli.errors import LdmError

FORMAT = 1
NAME = re.compile(r"step-(\d{6,})")


class NewerFormat(LdmError):
    """Written by a newer version: not damaged, so nothing older may be put in its place."""


@dataclass(frozen=True)
class Checkpoint:
    """One complete checkpoint on disk."""

    path: Path
    step: int
    facts: dict[str, Any]
    """What was given to `save` beside the tensors."""

    @property
    def names(self) -> set[str]:
        """What `tensors` has."""
        return {path.stem for path in self.path.glob("*.safetensors")}

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors that were saved under this name."""
        return load_file(self.path / f"{name}.safetensors")


def save(folder: Path, step: int, tensors: dict[str, dict[str, Tensor]], facts: dict[str, Any]) -> Path:
    """Write `folder/step-NNNNNN/`. tensors: file name -> state dict; facts: JSON-able. Replaces a checkpoint of the same step."""
    target = folder / f"step-{step:06d}"
    temporary = folder / f".{target.name}.{os.getpid()}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        sums = {}
        for name, state in tensors.items():
            path = temporary / f"{name}.safetensors"
            save_file({key: value.detach().cpu().contiguous() for key, value in state.items()}, path)
            sums[path.name] = _checksum(path)
            _flush(path)
        manifest = temporary / "manifest.json"
        manifest.write_text(json.dumps({"format": FORMAT, "step": step, "files": sums, "facts": facts}, indent=1))
        _flush(manifest)
        _flush(temporary)
        if target.exists():
            shutil.rmtree(target)
        os.replace(temporary, target)
        _flush(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


def newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest complete checkpoint and a warning for each thing that looked like one and is not. Raises NewerFormat."""
    found, warnings = [], []
    for path in sorted(folder.glob("step-*")):
        if match := NAME.fullmatch(path.name):
            found.append((int(match[1]), path))
        else:
            warnings.append(f"{path} is not named like a checkpoint; left aside.")
    for _, path in sorted(found, reverse=True):
        try:
            return read(path), warnings
        except NewerFormat:
            raise
        except LdmError as error:
            warnings.append(error.message)
    return None, warnings


def read(path: Path) -> Checkpoint:
    """Check every file against the manifest. Raises LdmError when something is missing, changed or from a newer version."""
    try:
        manifest = json.loads((path / "manifest.json").read_text())
        number, step, sums, facts = manifest["format"], manifest["step"], manifest["files"], manifest["facts"]
        if not (isinstance(number, int) and isinstance(step, int) and isinstance(sums, dict)):
            raise TypeError("manifest.json")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LdmError(f"{path} is not a complete checkpoint: no readable manifest.json.") from error
    if number > FORMAT:
        raise NewerFormat(f"{path} was written by a newer version of ldm (format {number}).", hint="Upgrade ldm to resume from it.")
    for name, checksum in sums.items():
        if not (path / name).is_file() or _checksum(path / name) != checksum:
            raise LdmError(f"{path / name} is missing or damaged: its checksum differs from the manifest.")
    return Checkpoint(path, step, facts)


def prune(folder: Path, keep: int) -> list[str]:
    """Delete all but the newest `keep` checkpoints. Failing to delete is only a warning."""
    found = sorted((int(m[1]), p) for p in folder.glob("step-*") if (m := NAME.fullmatch(p.name)) and p.is_dir() and not p.is_symlink())
    warnings: list[str] = []
    for _, path in found[:-keep] if keep > 0 else []:
        try:
            shutil.rmtree(path)
        except OSError as error:
            warnings.append(f"could not delete the old checkpoint {path}: {error}")
    return warnings


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
