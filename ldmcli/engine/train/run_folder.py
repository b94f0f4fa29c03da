"""The folder of a training run: whose it is, what it was made with, and going on from its checkpoints."""

import fcntl
import json
from collections.abc import Generator, Iterator, Set
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from math import prod
from pathlib import Path
from typing import Any

from ldmcli.config.training import TrainConfig
from ldmcli.data.cache import data_fingerprint, timed_fingerprint
from ldmcli.data.captioned import CaptionedImages
from ldmcli.engine.train.run_log import disk_errors
from ldmcli.engine.train.training_loop import loop_config
from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.runtime.files import replace_file
from ldmcli.runtime.processes import Processes
from ldmcli.training import checkpoints
from ldmcli.training.checkpoints import Checkpoint
from ldmcli.training.loop import lr_at
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
GLOBAL_BATCH = {"batch_size", "grad_accum", "processes"}
"""These may differ while their product, the pictures of a step, is the same."""


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
    run.mkdir(parents=True, exist_ok=True)
    with (run / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LdmError(f"another training run is using {run}.") from error
        yield


def write_skipped(run: Path, data: CaptionedImages, bad: dict[str, str]) -> None:
    """RUN/skipped.jsonl: id, file and reason of every picture that is not trained on. bad: number of the picture -> reason."""
    rows = [asdict(skipped) for skipped in data.skipped]
    for number, reason in bad.items():
        image = data.images[int(number)]
        rows.append({"id": image.id, "file": str(image.path), "reason": reason})
    replace_file(run / "skipped.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def settings_of(config: TrainConfig, data: CaptionedImages) -> dict[str, Any]:
    """The resolved config as plain values, with two fingerprints of the data: by size, and by size and time."""
    return {**plain(asdict(config)), "data_fingerprint": f"{data_fingerprint(data)}-{timed_fingerprint(data)}"}


def _told_of_copies(before: dict[str, Any], now: dict[str, Any]) -> Iterator[Note]:
    """Let the data of a run be what they are now if they are the same but for their times. A run of an older version noted only these."""
    then, (sizes, times) = before.get("data_fingerprint"), now["data_fingerprint"].split("-")
    if then == times:
        before["data_fingerprint"] = now["data_fingerprint"]
    elif isinstance(then, str) and then.startswith(f"{sizes}-") and then != now["data_fingerprint"]:
        before["data_fingerprint"] = now["data_fingerprint"]
        yield Note("the pictures have other dates than before, and the same names, sizes and captions: taken for a copy of the same data")


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """As TOML and JSON can hold them; without those that are None."""
    simple = {k: str(v) if isinstance(v, Path) else list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    return {k: v for k, v in simple.items() if v is not None}


def agree_on_settings(config: TrainConfig, data: CaptionedImages, processes: Processes) -> dict[str, Any]:
    """See settings_of. Raises UsageError when another process was started with other options, or finds other data."""
    settings, *others = processes.gather(settings_of(config, data))
    for number, other in enumerate(others, 1):
        list(_told_of_copies(other, settings))  # each machine may have a copy of its own
        if apart := _differences(settings, other, MAY_CHANGE, "process 0", f"process {number}"):
            raise UsageError(f"processes of one run do not agree: {apart}.", hint="Start all with the same options on the same files.")
    return settings


def _differences(one: dict[str, Any], other: dict[str, Any], but: Set[str], here: str, there: str) -> str:
    """`lr: 0.1 HERE, 0.2 THERE; ...` of everything that differs, except `but`."""
    keys = sorted(key for key in (one.keys() | other.keys()) - but if one.get(key) != other.get(key))
    return "; ".join(f"{key}: {one.get(key)!r} {here}, {other.get(key)!r} {there}" for key in keys)


def find_checkpoint(config: TrainConfig) -> tuple[Checkpoint | None, list[str]]:
    """The checkpoint that config.resume asks for, and a warning for each that was passed over. Raises NotFound."""
    if config.resume is None:
        return None, []
    if config.resume == "auto":
        return checkpoints.newest(config.output / "checkpoints")
    path = Path(config.resume)
    if not path.is_dir():
        raise NotFound(f"--resume {path}: no such run or checkpoint.")
    if not (path / "checkpoints").is_dir():
        return checkpoints.read(path), []
    found, warnings = checkpoints.newest(path / "checkpoints")
    if found is None:
        raise NotFound(f"--resume {path}: the run has no whole checkpoint.", hint=" ".join(warnings))
    return found, warnings


def _checkpoint(config: TrainConfig, processes: Processes) -> Generator[Event, None, Checkpoint | None]:
    """The one that config.resume asks for; the first process finds it for all."""
    found, warnings = find_checkpoint(config) if processes.main else (None, [])
    yield from (Note(text, warning=True) for text in warnings)
    newest = processes.gather(found.path if found else None)[0]
    if newest is None:
        yield Note(f"no checkpoint in {config.output} yet: starting at step 0")
        return None
    return found or checkpoints.read(newest)


def resume(state: TrainState, config: TrainConfig, settings: dict[str, Any], processes: Processes, pictures: int) -> Iterator[Event]:
    """Restore the checkpoint that config.resume asks for, if there is one, and say so. pictures: those trained on."""
    if config.resume is None:
        return
    found = yield from _checkpoint(config, processes)
    if found is None:
        return
    # A run of an older version says nothing of options that came later, and did what is now their default.
    before = {
        **plain({f.name: f.default for f in fields(config) if isinstance(f.default, str | int | float | tuple)}),
        **found.facts["settings"],
        "processes": found.facts.get("processes", 1),
    }
    now = {**settings, "processes": processes.count}
    yield from _told_of_copies(before, now)
    same_batch = prod(before[name] for name in GLOBAL_BATCH) == prod(now[name] for name in GLOBAL_BATCH)
    changed = _differences(before, now, MAY_CHANGE | (GLOBAL_BATCH if same_batch else set()), "then", "now")
    if changed and not config.force:
        raise UsageError(f"{found.path} belongs to a run with other settings: {changed}", hint="--force resumes all the same.")
    state.restore(found)
    yield Note(f"resumed {found.path.name}")
    yield from _other_rates(config, before, found.step, pictures, processes.count)
    if left := checkpoints.later(config.output / "checkpoints", found.step):
        names = ", ".join(path.name for path in left)
        yield Note(f"{names}: of later steps than the one resumed; deleted when the next checkpoint is complete", warning=True)
    if cut := _differences(before, now, (before.keys() | now.keys()) - GLOBAL_BATCH, "then", "now"):
        yield Note(f"{cut}: the same pictures in every step, but other rounding")


def _other_rates(config: TrainConfig, before: dict[str, Any], step: int, pictures: int, processes: int) -> Iterator[Note]:
    """A warning where the run has another length than it had, and its learning rate therefore another course. before: the settings then."""
    length = {"max_steps": before.get("max_steps"), "epochs": before["epochs"]}
    now, then = (loop_config(one, pictures, processes) for one in (config, replace(config, **length)))
    if now.max_steps == then.max_steps or step >= now.max_steps or config.lr_schedule == "constant":
        return
    if lr_at(now, step) == lr_at(then, step):  # still warming up
        step = (step + now.max_steps) // 2
    rate, planned = lr_at(now, step), lr_at(then, min(step, then.max_steps))
    yield Note(
        f"--lr-schedule {config.lr_schedule} ended at step {then.max_steps} and now ends at {now.max_steps}: "
        f"the learning rate of step {step + 1} is {rate:.4g}, and would have been {planned:.4g}",
        warning=True,
    )
