"""Checksums of weights, as recorded in pictures."""

import hashlib
from pathlib import Path
from typing import Unpack

from ldmcli.models.layout import Picking, weight_files


def weights_hash(model: Path, name: str, **picking: Unpack[Picking]) -> str:
    """sha256 of a component's weight file, in hex; its first 10 digits are what A1111 calls the model hash.

    Of a checkpoint file it is that of the whole file, of sharded weights that of the shards' own, one after the other.
    """
    found = [_sha256(path) for path in weight_files(model, name, **picking)]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
