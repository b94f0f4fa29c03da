"""Exported networks on disk: whole or not there, and no more of them than a limit."""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ldmcli.errors import LdmError
from ldmcli.readers.json_text import read_json

MOST_CACHE_BYTES = 16 * 2**30
"""Of the exported networks on disk; those that were not used for longest go first."""

MARK = "entry.json"
"""Written last into an entry of the cache: the sizes of its files."""


def entry_name(unet: nn.Module, shapes: list[list[int]], versions: str) -> str:
    """Names what is exported: weights, shapes, versions. 32 hex digits."""
    hashed = hashlib.blake2b(f"{shapes} {versions} {unet.config}".encode(), digest_size=16)
    for name, value in unet.state_dict().items():
        hashed.update(name.encode())
        hashed.update(value.detach().contiguous().view(torch.uint8).numpy())
    return hashed.hexdigest()


def is_whole(entry: Path) -> bool:
    """Whether all of an entry is there, as it was written."""
    try:
        sizes = read_json(entry / MARK)
        return bool(sizes) and all((entry / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError, TypeError, LdmError):
        return False


def keep(write: Callable[[Path], None], entry: Path) -> None:
    """Let a network be written into a folder, and put that in the entry's place. One that cannot be written to is no reason to stop."""
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=entry.parent))
    except OSError:
        return
    try:
        write(temporary)
        sizes = {path.name: path.stat().st_size for path in temporary.iterdir()}
        (temporary / MARK).write_text(json.dumps(sizes), encoding="utf-8")
        shutil.rmtree(entry, ignore_errors=True)  # a damaged one
        os.replace(temporary, entry)
        _make_room(entry)
    except (OSError, RuntimeError):
        pass
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _make_room(newest: Path) -> None:
    """Delete what was not used for longest beyond the limit, and what killed processes left an hour ago."""
    room, now = MOST_CACHE_BYTES, time.time()
    folders = [path for path in newest.parent.iterdir() if path.is_dir()]
    for folder in sorted(folders, key=lambda path: (path != newest, -path.stat().st_mtime)):
        stale = folder.name.startswith(".") and now - folder.stat().st_mtime > 3600
        room -= sum(path.stat().st_size for path in folder.iterdir())
        if stale or (room < 0 and folder != newest and not folder.name.startswith(".")):
            shutil.rmtree(folder, ignore_errors=True)
