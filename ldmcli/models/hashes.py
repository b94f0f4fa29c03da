"""Checksums of weights, as recorded in pictures."""

import hashlib
from pathlib import Path

from ldmcli.models.saving import WEIGHT_FILES


def weights_hash(model: Path, name: str) -> str:
    """sha256 of a component's weight file, in hex; its first 10 digits are what A1111 calls the model hash."""
    with (model / name / WEIGHT_FILES[name]).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
