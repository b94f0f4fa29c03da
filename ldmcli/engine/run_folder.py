"""The folder of a training run: whose it is, what it was made with, and going on from its checkpoints."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ldmcli.config import TrainConfig
from ldmcli.data.cache import data_fingerprint
from ldmcli.data.captioned import CaptionedImages
from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.records import Event, Note
from ldmcli.training import checkpoints
from ldmcli.training.state import TrainState

MAY_CHANGE = {
    "max_steps",
    "epochs",
    "max_hours",
    "save_every",
    "keep",
    "sample_every",
    "val_every",
    "log_every",
    "resume",
    "force",
    "output",
    "cache",
    "device",
    "dry_run",
    "gradient_checkpointing",
    "max_bad",
    "data",
    "images",
    "captions",
}
"""Settings that may differ when a run is resumed: none of them changes what a step computes. The data are compared by content."""


@contextmanager
def run_folder(config: TrainConfig) -> Iterator[None]:
    """The output folder, locked against a second trainer."""
    run = config.output
    if run.exists() and not run.is_dir():
        raise UsageError(f"-o {run} is a file; a folder is needed.")
    if config.resume is None and (run / "checkpoints").is_dir() and any((run / "checkpoints").iterdir()):
        raise UsageError(f"{run} already holds a run.", hint="Go on with --resume auto, or choose another -o.")
    run.mkdir(parents=True, exist_ok=True)
    with (run / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LdmError(f"another training run is using {run}.") from error
        yield


def settings_of(config: TrainConfig, data: CaptionedImages) -> dict[str, Any]:
    """The resolved config as plain values, with a fingerprint of the data."""
    plain = {k: str(v) if isinstance(v, Path) else list(v) if isinstance(v, tuple) else v for k, v in asdict(config).items()}
    return {**{k: v for k, v in plain.items() if v is not None}, "data_fingerprint": data_fingerprint(data)}


def resume(state: TrainState, config: TrainConfig, settings: dict[str, Any]) -> Iterator[Event]:
    """Restore the checkpoint that config.resume asks for, if there is one, and say so."""
    if config.resume is None:
        return
    if config.resume == "auto":
        found, warnings = checkpoints.newest(config.output / "checkpoints")
        yield from (Note(text, warning=True) for text in warnings)
        if found is None:
            yield Note(f"no checkpoint in {config.output} yet: starting at step 0")
            return
    else:
        path = Path(config.resume)
        if not path.is_dir():
            raise NotFound(f"--resume {path}: no such checkpoint.")
        found = checkpoints.read(path)
    defaults = {f.name: f.default for f in fields(config) if f.default is not None}
    before = {**defaults, **found.facts["settings"]}  # a run from before an option existed has its default
    changed = [
        f"{key}: {before.get(key)!r} then, {settings.get(key)!r} now"
        for key in sorted((before.keys() | settings.keys()) - MAY_CHANGE)
        if before.get(key) != settings.get(key)
    ]
    if changed and not config.force:
        raise UsageError(f"{found.path} belongs to a run with other settings: " + "; ".join(changed), hint="--force resumes all the same.")
    state.restore(found)
    yield Note(f"resumed {found.path.name}")
