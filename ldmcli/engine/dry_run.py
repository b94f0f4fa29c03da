"""What a training run would need, found by being it for a moment in a temporary folder: nothing is estimated that can be measured."""

import json
import shutil
import statistics
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ldmcli.config.training import TrainConfig
from ldmcli.data.captioned import CaptionedImages
from ldmcli.engine.fit_batch import MOST_ON_GPU
from ldmcli.errors import UsageError
from ldmcli.records.events import Event
from ldmcli.records.notes import Progress
from ldmcli.records.training import RunPlan, TrainStep
from ldmcli.records.words import counted
from ldmcli.training import checkpoints

WARMUP, MEASURED = 1, 3
"""Steps; a first step allocates and tunes, and is never like the others."""


def planned(config: TrainConfig, data: CaptionedImages, train: Callable[[Any], Iterator[Event]]) -> Iterator[Event]:
    """Train four steps on just enough pictures, save once, and scale what that took to the whole run. Ends with a RunPlan."""
    per_step = (MOST_ON_GPU if config.auto_batch else config.batch_size) * config.grad_accum
    if config.auto_batch:
        per_step = min(per_step, len(data))
    tried = min(len(data), round(1.25 * per_step / (1 - config.held_out)) + 8)  # some may be unusable, some are held out
    if len(data) < per_step:
        raise UsageError(
            f"{counted(len(data), 'picture')} {'does' if len(data) == 1 else 'do'} not fill one batch of {per_step}.",
            hint="Use a smaller --batch-size or more data.",
        )
    steps: list[TrainStep] = []
    started, prepare_s = time.perf_counter(), 0.0
    with tempfile.TemporaryDirectory(prefix="ldm-dry-run-") as folder:
        run, cache = Path(folder) / "run", Path(folder) / "cache"
        trial = replace(
            config, dry_run=False, output=run, cache=None if config.no_cache else cache, resume=None, limit=tried,
            max_steps=WARMUP + MEASURED, max_hours=None,
        )  # fmt: skip
        for event in train(trial):
            if isinstance(event, TrainStep):
                if not steps:
                    prepare_s = (time.perf_counter() - started - event.seconds) * len(data) / tried
                steps.append(event)
            elif isinstance(event, Progress):
                yield event
        per_step = tomllib.loads((run / "config.toml").read_text())["batch_size"] * config.grad_accum  # auto is a number now
        named = {image.id for image in data.images}  # those that the layout left out are among the problems already
        skipped = [json.loads(line)["id"] for line in (run / "skipped.jsonl").read_text().splitlines()]
        bad = sum(name in named for name in skipped)
        checkpoint, _ = checkpoints.newest(run / "checkpoints")
        assert checkpoint is not None
        parameters = sum(value.numel() for value in checkpoint.tensors("network").values())
        # one checkpoint more than are kept: the oldest goes only when the newest is complete
        disk = _size(cache) * len(data) // tried + (config.keep + 1) * _size(checkpoint.path) + _size(run / "model")
    usable = max(round(len(data) * (1 - bad / tried) * (1 - config.held_out)), 1)
    total = config.max_steps or max(round(config.epochs * usable / per_step), 1)
    seconds = statistics.median(step.seconds for step in steps[WARMUP:])
    memory = steps[-1].memory
    assert memory is not None
    yield RunPlan(
        source=data.source,
        pictures=len(data),
        problems=data.problems,
        tried=tried,
        bad=bad,
        parameters=parameters,
        steps_per_epoch=max(usable // per_step, 1),
        steps=total,
        seconds_per_step=seconds,
        prepare_s=prepare_s,
        eta_s=prepare_s + total * seconds,
        peak_rss_bytes=memory.peak_rss_bytes,
        peak_vram_bytes=memory.peak_vram_bytes,
        disk_bytes=disk,
        disk_free_bytes=shutil.disk_usage(next(p for p in config.output.absolute().parents if p.exists())).free,
    )


def _size(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
