"""What a training run would need, found by being it for a moment in a temporary folder: nothing is estimated that can be measured."""

import json
import shutil
import statistics
import tempfile
import time
import tomllib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ldmcli.config.training import TrainConfig, TrainVAEConfig
from ldmcli.data.captioned import CaptionedImages
from ldmcli.engine.train.batch_size import MOST_ON_GPU
from ldmcli.engine.train.picture_counts import check_listed, held_out_count
from ldmcli.records.events import Event
from ldmcli.records.notes import Progress, Saved
from ldmcli.records.training import RunPlan, TrainStep
from ldmcli.training import checkpoints

WARMUP, MEASURED = 1, 3
"""Steps; a first step allocates and tunes, and is never like the others."""
VALIDATED = WARMUP + 2
"""The step after which validation comes alone: after the last come samples too."""


def plan_run(config: TrainConfig, data: CaptionedImages, train: Callable[[Any], Iterator[Event]]) -> Iterator[Event]:
    """Train four steps on just enough pictures, validate, save, sample, and scale what that took to the whole run. Ends with a RunPlan.

    For several processes, what one of them does in a step is measured; what they say to each other is not.
    """
    processes = config.planned_processes
    per_step = (MOST_ON_GPU if config.auto_batch else config.batch_size) * config.grad_accum
    if config.auto_batch:
        per_step = min(per_step, len(data))
    tried = min(len(data), round(1.25 * per_step / (1 - config.held_out)) + 8)  # some may be unusable, some are held out
    check_listed(config, data)
    with tempfile.TemporaryDirectory(prefix="ldm-dry-run-") as folder:
        run, cache = Path(folder) / "run", Path(folder) / "cache"
        watched = yield from _watched(train(_trial(config, tried, run, cache)))
        per_step = tomllib.loads((run / "config.toml").read_text())["batch_size"] * config.grad_accum * processes  # auto is a number now
        bad, (parameters, disk) = _unusable(run, data), _sizes(run, cache, config.keep, len(data), tried)
    whole = round(len(data) * (1 - bad / tried))
    usable = max(whole - held_out_count(whole, config.held_out), 1)
    total = config.max_steps or max(round(config.epochs * usable / per_step), 1)
    prepare_s = watched.prepare_s * (1 if config.stream else len(data) / tried / processes)
    seconds = statistics.median(step.seconds for step in watched.steps[WARMUP:])
    validate_s = watched.looking_s[VALIDATED - 1]
    sample_s = max(watched.looking_s[-1] - validate_s, 0.0)
    if isinstance(config, TrainVAEConfig):  # a U-Net's validation always has the same number of rows
        validate_s *= held_out_count(whole, config.held_out) / max(held_out_count(tried - bad, config.held_out), 1)
    memory = watched.steps[-1].memory
    assert memory is not None
    yield RunPlan(
        source=data.source,
        processes=processes,
        pictures_per_step=per_step,
        pictures=len(data),
        problems=data.problems,
        tried=tried,
        bad=bad,
        parameters=parameters,
        steps_per_epoch=max(usable // per_step, 1),
        steps=total,
        seconds_per_step=seconds,
        prepare_s=prepare_s,
        validate_s=validate_s,
        sample_s=sample_s,
        eta_s=prepare_s + total * seconds + _times(total, config.val_every) * validate_s + _times(total, config.sample_every) * sample_s,
        peak_rss_bytes=memory.peak_rss_bytes,
        peak_vram_bytes=memory.peak_vram_bytes,
        disk_bytes=disk,
        disk_free_bytes=shutil.disk_usage(next(p for p in config.output.absolute().parents if p.exists())).free,
    )


def _trial(config: TrainConfig, tried: int, run: Path, cache: Path) -> TrainConfig:
    """The run that is watched."""
    return replace(
        config, dry_run=False, output=run, cache=None if config.no_cache else cache, resume=None, limit=tried,
        planned_processes=1, max_steps=WARMUP + MEASURED, max_hours=None, val_every=VALIDATED, sample_every=WARMUP + MEASURED,
    )  # fmt: skip


@dataclass
class _Watched:
    """What a trial run was seen to do. looking_s: seconds of each step that went into neither training nor saving."""

    steps: list[TrainStep] = field(default_factory=list)
    looking_s: list[float] = field(default_factory=list)
    prepare_s: float = 0.0


def _watched(events: Iterator[Event]) -> Generator[Event, None, _Watched]:
    """Go through a run, passing on its progress."""
    seen = _Watched()
    rested, saved = time.perf_counter(), False  # when the last record came, or the step was saved
    for event in events:
        now = time.perf_counter()
        if isinstance(event, TrainStep):
            spent = now - rested - (0 if saved else event.seconds)
            if seen.steps:
                seen.looking_s.append(spent)
            else:
                seen.prepare_s = spent
                seen.looking_s.append(0.0)
            seen.steps.append(event)
            rested, saved = now, False
        elif isinstance(event, Saved) and event.what == "model":
            rested, saved = now, True
        elif isinstance(event, Progress):
            yield event
    return seen


def _unusable(run: Path, data: CaptionedImages) -> int:
    """How many pictures the run skipped; those that the layout left out are among the data's problems already."""
    lines = (run / "skipped.jsonl").read_text().splitlines()
    named = {image.id for image in data.images} if lines else set()
    return sum(json.loads(line)["id"] in named for line in lines)


def _sizes(run: Path, cache: Path, keep: int, pictures: int, tried: int) -> tuple[int, int]:
    """(parameters of the network, bytes on disk of a run on all pictures), from one on those that were tried."""
    checkpoint, _ = checkpoints.newest(run / "checkpoints")
    assert checkpoint is not None
    parameters = sum(value.numel() for value in checkpoint.tensors("network").values())
    # one checkpoint more than are kept: the oldest goes only when the newest is complete
    return parameters, _size(cache) * pictures // tried + (keep + 1) * _size(checkpoint.path) + _size(run / "model")


def _times(steps: int, every: int) -> int:
    """How often something is done that is due every so many steps and after the last one."""
    return -(-steps // every)


def _size(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
