"""What a training run was made with, as plain values, and what may differ when it goes on. Imports no torch."""

from collections.abc import Iterator, Set
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ldmcli.config.training import TrainConfig
from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.fingerprints import data_fingerprint, timed_fingerprint
from ldmcli.records.notes import Note
from ldmcli.runtime.urls import public, shown

MAY_CHANGE = {
    "max_steps",
    "epochs",
    "max_hours",
    "save_every",
    "keep",
    "sample_every",
    "val_every",
    "log_every",
    "tracker",
    "sample_clipscore",
    "resume",
    "force",
    "output",
    "cache",
    "device",
    "dry_run",
    "planned_processes",
    "gradient_checkpointing",
    "max_bad",
    "workers",
    "data",
    "images",
    "captions",
    "image_key",
    "caption_key",
}
"""Settings that may differ when a run is resumed: none of them changes what a step computes. The data are compared by content."""


def settings_of(config: TrainConfig, data: CaptionedImages) -> dict[str, Any]:
    """The resolved config as plain values, with two fingerprints of the data: by size, and by size and time."""
    return {**plain(asdict(config)), "data_fingerprint": f"{data_fingerprint(data)}-{timed_fingerprint(data)}"}


def told_of_copies(before: dict[str, Any], now: dict[str, Any]) -> Iterator[Note]:
    """Let the data of a run be what they are now if they are the same but for their times. A run of an older version noted only these."""
    then, (sizes, times) = before.get("data_fingerprint"), now["data_fingerprint"].split("-")
    if then == times:
        before["data_fingerprint"] = now["data_fingerprint"]
    elif isinstance(then, str) and then.startswith(f"{sizes}-") and then != now["data_fingerprint"]:
        before["data_fingerprint"] = now["data_fingerprint"]
        yield Note("the pictures have other dates than before, and the same names, sizes and captions: taken for a copy of the same data")


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """As TOML and JSON can hold them; without those that are None, and without what a URL keeps secret."""
    return {k: _plain(v) for k, v in values.items() if v is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Path):
        return str(Path(shown(value)))
    return public(value) if isinstance(value, str) else value


def differences(one: dict[str, Any], other: dict[str, Any], but: Set[str], here: str, there: str) -> str:
    """`lr: 0.1 HERE, 0.2 THERE; ...` of everything that differs, except `but`."""
    keys = sorted(key for key in (one.keys() | other.keys()) - but if one.get(key) != other.get(key))
    return "; ".join(f"{key}: {one.get(key)!r} {here}, {other.get(key)!r} {there}" for key in keys)
