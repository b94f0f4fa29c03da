"""Checksums of weights, as recorded in pictures."""

import hashlib
import re
from pathlib import Path
from typing import Any, Unpack

from ldmcli.models.layout import Picking, weight_files
from ldmcli.models.source import Source


def weights_hash(model: Path, name: str, **picking: Unpack[Picking]) -> str:
    """sha256 of a component's weight file, in hex; its first 10 digits are what A1111 calls the model hash.

    Of a checkpoint file it is that of the whole file, of sharded weights that of the shards' own, one after the other.
    """
    found = [file_hash(path) for path in weight_files(model, name, **picking)]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """sha256 of a file, in hex. The hub's cache has it as the name of what it keeps, so that gigabytes need not be read."""
    kept = path.resolve()
    if kept.parent.name == "blobs" and re.fullmatch("[0-9a-f]{64}", kept.name):
        return kept.name
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def other_weights(source: Source) -> dict[str, Any]:
    """What draws beside the model's own weights: vae_sha256 and loras, each only where --vae and --lora named one."""
    other: dict[str, Any] = {**source.overrides()}
    if source.vae != source.path:
        other["vae_sha256"] = weights_hash(source.vae, "vae", **source.picking)
    if source.loras:
        other["loras"] = [lora.facts() for lora in source.loras]
    return other
