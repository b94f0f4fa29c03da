"""Checksums of weights, as recorded in pictures."""

import hashlib
import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Unpack

from ldmcli.models.layout import Picking, weight_files
from ldmcli.models.source import Source
from ldmcli.runtime.files import replace_file, user_cache

LARGE = 64 * 2**20
"""Bytes of a file from which its checksum is kept: those of smaller ones take no time."""

SETTLED_S = 2.0
"""How long ago a file must have changed for its times to tell the next change."""


def weights_hash(model: Path, name: str, **picking: Unpack[Picking]) -> str:
    """sha256 of a component's weight file, in hex; its first 10 digits are what A1111 calls the model hash.

    Of a checkpoint file it is that of the whole file, of sharded weights that of the shards' own, one after the other.
    """
    found = [file_hash(path) for path in weight_files(model, name, **picking)]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """sha256 of a file, in hex. The hub's cache has it as the name of what it keeps, so that gigabytes need not be read.

    That of another large file is kept in the user's cache folder for as long as the file stays the same one, unchanged.
    """
    real = path.resolve()
    if real.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", real.name):
        return real.name
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        kept = None if before.st_size < LARGE else _kept_at(real, before)
        with suppress(OSError, ValueError):  # a folder of another user's, or no text
            if kept and re.fullmatch("[0-9a-f]{64}", found := kept.read_text(encoding="ascii")):
                return found
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if kept and kept == _kept_at(real, os.fstat(file.fileno())) and time.time() - before.st_ctime > SETTLED_S:
            with suppress(OSError):  # what cannot be kept is computed again
                kept.parent.mkdir(parents=True, exist_ok=True)
                replace_file(kept, digest)
    return digest


def _kept_at(real: Path, state: os.stat_result) -> Path | None:
    """Where the checksum of a file in this state is kept. Whatever changes a file changes one of these; nobody can set st_ctime."""
    root = user_cache()
    facts = [str(real), state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns]
    return root and root / "sha256" / hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def other_weights(source: Source) -> dict[str, Any]:
    """What draws beside the model's own weights: vae_sha256 and loras, each only where --vae and --lora named one."""
    other: dict[str, Any] = {**source.overrides()}
    if source.vae != source.path:
        other["vae_sha256"] = weights_hash(source.vae, "vae", **source.picking)
    if source.loras:
        other["loras"] = [lora.facts() for lora in source.loras]
    return other
