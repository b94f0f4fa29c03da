"""Checksums of weights, as recorded in pictures."""

import hashlib
from pathlib import Path
from typing import Any

from ldmcli.models.layout import weight_files
from ldmcli.models.source import Source


def weights_hash(model: Path, name: str, *, allow_pickle: bool = False) -> str:
    """sha256 of a component's weight file, in hex; its first 10 digits are what A1111 calls the model hash.

    Of a checkpoint file it is that of the whole file, of sharded weights that of the shards' own, one after the other.
    """
    found = [_sha256(path) for path in weight_files(model, name, allow_pickle=allow_pickle)]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def other_weights(source: Source) -> dict[str, Any]:
    """What draws beside the model's own weights: vae_sha256 and loras, each only where --vae and --lora named one."""
    other: dict[str, Any] = {}
    if source.vae != source.path:
        other["vae_sha256"] = weights_hash(source.vae, "vae", allow_pickle=source.allow_pickle)
    if source.loras:
        other["loras"] = [lora.facts() for lora in source.loras]
    return other
