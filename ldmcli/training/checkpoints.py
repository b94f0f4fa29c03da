"""Checkpoints that are either complete or not there. Knows files and tensors, not what they mean.

A checkpoint is written into a temporary folder beside its place, flushed to disk and renamed; its manifest, with a
checksum of every file, is written last. What has no valid manifest is not a checkpoint. One process at a time may write
into a folder. torch is imported where tensors are asked for, so that a run that cannot go on is refused at once.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from ldmcli.errors import LdmError
from ldmcli.readers.json_text import read_json
from ldmcli.readers.rules import Record, check, whole
from ldmcli.readers.tables import CHECKPOINT
from ldmcli.runtime.files import flush

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 1
ANY_CHECKPOINT = Record({"format": whole(0, 2**31)}, required=("format",))
NAME = re.compile(r"step-(\d{6,18})")
FILE = re.compile(r"\w+\.safetensors")


class NewerFormat(LdmError):
    """Written by a newer version: not damaged, so nothing older may be put in its place."""


@dataclass(frozen=True)
class Checkpoint:
    """One complete checkpoint on disk."""

    path: Path
    step: int
    facts: dict[str, Any]
    """What was given to `save` beside the tensors."""
    names: frozenset[str]
    """What `tensors` has."""

    def tensors(self, name: str) -> "dict[str, Tensor]":
        """The tensors that were saved under this name."""
        from safetensors.torch import load_file

        return load_file(self.path / f"{name}.safetensors")

    def shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        """The shapes of the same, from the file's header. Raises LdmError where there is none."""
        if name not in self.names:
            raise damaged(self.path, f"it has no {name}.safetensors")
        try:
            with safe_open(self.path / f"{name}.safetensors", "pt") as file:
                return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118  # no mapping
        except SafetensorError as error:
            raise damaged(self.path, f"{name}.safetensors is no safetensors file: {error}") from error


def save(folder: Path, step: int, tensors: "dict[str, dict[str, Tensor]]", facts: dict[str, Any]) -> Path:
    """Write `folder/step-NNNNNN/`. tensors: file name -> state dict; facts: JSON-able. Replaces a checkpoint of the same step."""
    from safetensors.torch import save_file

    target = folder / f"step-{step:06d}"
    temporary, replaced = folder / f".{target.name}.tmp", folder / f".{target.name}.old"
    _tidy(folder)
    temporary.mkdir(parents=True)
    try:
        sums = {}
        for name, state in tensors.items():
            path = temporary / f"{name}.safetensors"
            save_file({key: value.detach().cpu().contiguous() for key, value in state.items()}, path)
            sums[path.name] = _checksum(path)
            flush(path)
        manifest = temporary / "manifest.json"
        manifest.write_text(json.dumps({"format": FORMAT, "step": step, "files": sums, "facts": facts}, indent=1))
        flush(manifest)
        flush(temporary)
        if target.exists():
            os.replace(target, replaced)
        os.replace(temporary, target)
        flush(folder)
    except BaseException:
        _tidy(folder)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
    return target


def _tidy(folder: Path) -> None:
    """Remove what a save that was cut short has left, and put back what it was about to replace."""
    _put_back(folder)
    for path in (*folder.glob(".step-*.tmp"), *folder.glob(".step-*.old")):
        shutil.rmtree(path, ignore_errors=True)


def _put_back(folder: Path) -> None:
    for path in folder.glob(".step-*.old"):
        target = folder / path.name[1:].removesuffix(".old")
        with suppress(OSError):  # another process of the same run was faster
            if not target.exists():
                os.replace(path, target)


def newest(folder: Path, check: Callable[[Checkpoint], None] | None = None) -> tuple[Checkpoint | None, list[str]]:
    """The newest complete checkpoint and a warning for each thing that looked like one and is not. Raises NewerFormat.

    check: raises LdmError for one that is complete and makes no sense.
    """
    _put_back(folder)
    found, warnings = [], []
    for path in sorted(folder.glob("step-*")):
        if match := NAME.fullmatch(path.name):
            found.append((int(match[1]), path))
        else:
            warnings.append(f"{path} is not named like a checkpoint; left aside.")
    for _, path in sorted(found, reverse=True):
        try:
            checkpoint = read(path)
            if check is not None:
                check(checkpoint)
            return checkpoint, warnings
        except NewerFormat:
            raise
        except LdmError as error:
            warnings.append(error.message)
    return None, warnings


def damaged(path: Path, why: str) -> LdmError:
    """What is raised of a checkpoint that cannot be gone on with."""
    return LdmError(f"{path} is damaged: {why}.", hint="Go on from an earlier checkpoint: --resume RUN/checkpoints/step-NNNNNN.")


def read(path: Path) -> Checkpoint:
    """Check every file against the manifest. Raises LdmError when something is missing, changed or from a newer version."""
    found, sums = _stated(path)
    for name, checksum in sums.items():
        if not FILE.fullmatch(name) or not (path / name).is_file() or _checksum(path / name) != checksum:
            raise LdmError(f"{path / name} is missing or damaged: its checksum differs from the manifest.")
    return found


def stated(path: Path) -> Checkpoint:
    """What the manifest says of a checkpoint, whose files are not looked at. Raises LdmError."""
    return _stated(path)[0]


def _stated(path: Path) -> tuple[Checkpoint, dict[str, str]]:
    """The checkpoint, and the checksum of each file."""
    try:
        manifest = read_json(path / "manifest.json", ANY_CHECKPOINT)
        number = manifest["format"]
        if number <= FORMAT:
            check(manifest, CHECKPOINT, str(path / "manifest.json"))
    except LdmError as error:
        raise LdmError(f"{path} is not a complete checkpoint: no readable manifest.json ({error.message.rstrip('.')}).") from error
    if number > FORMAT:
        raise NewerFormat(f"{path} was written by a newer version of ldm (format {number}).", hint="Upgrade ldm to resume from it.")
    step, sums = manifest["step"], manifest["files"]
    if (match := NAME.fullmatch(path.name)) and int(match[1]) != step:
        raise damaged(path, f"its manifest.json is one of step {step}")
    return Checkpoint(path, step, manifest["facts"], frozenset(Path(name).stem for name in sums)), sums


def later(folder: Path, step: int) -> list[Path]:
    """The checkpoints of later steps, whole or not, the first one first: a run that goes on from `step` leaves them behind."""
    return [path for number, path in _folders(folder) if number > step]


def prune(folder: Path, keep: int, step: int) -> list[str]:
    """Delete all but the newest `keep` checkpoints up to `step`, the one just written, and those of later steps, which this run has not
    come from. Failing to delete is only a warning."""
    earlier = [path for number, path in _folders(folder) if number <= step]
    warnings: list[str] = []
    for path in (earlier[:-keep] if keep > 0 else []) + later(folder, step):
        going = folder / f".{path.name}.tmp"  # half a checkpoint never stands under the name of a whole one
        try:
            os.replace(path, going)
            shutil.rmtree(going)
        except OSError as error:
            warnings.append(f"could not delete the old checkpoint {path}: {error}")
    return warnings


def _folders(folder: Path) -> list[tuple[int, Path]]:
    """(step, path) of what is named like a checkpoint, in the order of the steps; no links."""
    return sorted((int(m[1]), p) for p in folder.glob("step-*") if (m := NAME.fullmatch(p.name)) and p.is_dir() and not p.is_symlink())


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
