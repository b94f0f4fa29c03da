"""The folder of a training run: whose it is, and what it was made with."""

import json
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ldmcli.config.training import TrainConfig
from ldmcli.data.cache import data_fingerprint, timed_fingerprint
from ldmcli.data.captioned import CaptionedImages
from ldmcli.engine.train.run_log import disk_errors
from ldmcli.errors import LdmError, UsageError
from ldmcli.records.notes import Note
from ldmcli.runtime.files import lock_alone, open_lock, replace_file
from ldmcli.runtime.processes import Processes
from ldmcli.runtime.remote import public, shown
from ldmcli.runtime.room import check_room

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


@contextmanager
def run_folder(config: TrainConfig, processes: Processes) -> Iterator[None]:
    """The output folder, locked against a second trainer by the first process. Raises LdmError where its disk, or that of the cache,
    turns out to be full."""
    with disk_errors(f"{config.output} or its cache", "Make room, then go on with --resume auto."):
        if processes.main:
            with _locked(config):
                yield
        else:
            yield


@contextmanager
def _locked(config: TrainConfig) -> Iterator[None]:
    run = config.output
    if run.exists() and not run.is_dir():
        raise UsageError(f"-o {run} is a file; a folder is needed.")
    if config.resume is None and (run / "checkpoints").is_dir() and any((run / "checkpoints").iterdir()):
        raise UsageError(f"{run} already holds a run.", hint="Go on with --resume auto, or choose another -o.")
    for folder in (run, config.cache):
        if folder is not None:
            check_room(folder)
    run.mkdir(parents=True, exist_ok=True)
    with open_lock(run / ".lock") as lock:
        try:
            lock_alone(lock)
        except BlockingIOError as error:
            raise LdmError(f"another training run is using {run}.") from error
        yield


def write_skipped(run: Path, data: CaptionedImages, bad: dict[str, str]) -> None:
    """RUN/skipped.jsonl: id, file and reason of every picture that is not trained on. bad: number of the picture -> reason."""
    rows = [asdict(skipped) for skipped in data.skipped]
    for number, reason in bad.items():
        image = data.images[int(number)]
        rows.append({"id": image.id, "file": shown(image.path), "reason": reason})
    replace_file(run / "skipped.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


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


def agree_on_settings(config: TrainConfig, data: CaptionedImages, processes: Processes) -> dict[str, Any]:
    """See settings_of. Raises UsageError when another process was started with other options, or finds other data."""
    settings, *others = processes.gather(settings_of(config, data))
    for number, other in enumerate(others, 1):
        list(told_of_copies(other, settings))  # each machine may have a copy of its own
        if apart := differences(settings, other, MAY_CHANGE, "process 0", f"process {number}"):
            raise UsageError(f"processes of one run do not agree: {apart}.", hint="Start all with the same options on the same files.")
    return settings


def differences(one: dict[str, Any], other: dict[str, Any], but: Set[str], here: str, there: str) -> str:
    """`lr: 0.1 HERE, 0.2 THERE; ...` of everything that differs, except `but`."""
    keys = sorted(key for key in (one.keys() | other.keys()) - but if one.get(key) != other.get(key))
    return "; ".join(f"{key}: {one.get(key)!r} {here}, {other.get(key)!r} {there}" for key in keys)
