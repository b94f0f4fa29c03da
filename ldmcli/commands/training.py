"""What train-vae and train-unet have in common on the command line."""

import functools
import inspect
import types
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from ldmcli.commands import options
from ldmcli.commands.resumed import from_files, newest_of_itself
from ldmcli.config.training import TrainConfig
from ldmcli.errors import UsageError
from ldmcli.runtime.launcher import process_count


def _shared(
    data: options.DataOption = None,
    output: options.RunOption = None,
    config: options.ConfigOption = None,
    images: options.ImagesOption = None,
    captions: options.CaptionsOption = None,
    allow_missing: options.AllowMissingOption = None,
    image_key: options.ImageKeyOption = None,
    caption_key: options.CaptionKeyOption = None,
    size: options.SizeOption = None,
    epochs: options.EpochsOption = None,
    max_steps: options.MaxStepsOption = None,
    batch_size: options.BatchOption = None,
    lr: options.LrOption = None,
    lr_schedule: options.LrScheduleOption = None,
    warmup: options.WarmupOption = None,
    weight_decay: options.WeightDecayOption = None,
    grad_accum: options.GradAccumOption = None,
    max_grad_norm: options.MaxGradNormOption = None,
    mixed_precision: options.MixedPrecisionOption = None,
    ema: options.EmaOption = None,
    save_every: options.SaveEveryOption = None,
    keep: options.KeepOption = None,
    resume: options.ResumeOption = None,
    force: options.ForceOption = None,
    sample_every: options.SampleEveryOption = None,
    val_every: options.ValEveryOption = None,
    limit: options.LimitOption = None,
    held_out: options.HeldOutOption = None,
    compile: options.CompileOption = None,
    max_bad: options.MaxBadOption = None,
    max_hours: options.MaxHoursOption = None,
    log_every: options.LogEveryOption = None,
    tracker: options.TrackerOption = None,
    cache: options.CacheOption = None,
    no_cache: options.NoCacheOption = None,
    workers: options.WorkersOption = None,
    crop: options.CropOption = None,
    flip: options.FlipOption = None,
    seed: options.TrainSeedOption = None,
    device: options.TrainDeviceOption = None,
    dry_run: options.DryRunOption = None,
) -> None:
    """The options themselves. None means: not given, so the config file or the default of the dataclass holds."""


def training_command(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared options; it receives all of them in its `given` dict."""
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "given"]
    shared = list(inspect.signature(_shared).parameters.values())

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:
        given = {p.name: values.pop(p.name) for p in shared}
        command(**values, given=given)

    wrapper.__signature__ = inspect.Signature([*shared, *own])  # type: ignore[attr-defined]  # what Typer reads
    wrapper.__annotations__ = {p.name: p.annotation for p in (*shared, *own)}
    return wrapper


C = TypeVar("C", bound=TrainConfig)


def resolve_config(kind: type[C], given: dict[str, Any], command: str) -> C:
    """Flags over the --config file over the record of the run that is resumed over the defaults. Raises UsageError for a key or a type that
    is wrong."""
    flags = {key: value for key, value in given.items() if value is not None and key != "config"}
    if flags.get("seed") == -1:
        raise UsageError("--seed -1 draws a seed, and a training run must be repeatable; name one.")
    hints = get_type_hints(kind)
    from_file = from_files(flags, given.get("config"), {field.name for field in fields(kind)}, command)
    auto = {"auto_batch": True} if {**from_file, **flags}.get("batch_size") == options.AUTO_BATCH else {}
    for part in (from_file, flags):
        if part.get("batch_size") == options.AUTO_BATCH:
            del part["batch_size"]
    merged = newest_of_itself({**{key: _as(hints[key], value, key) for key, value in from_file.items()}, **flags, **auto})
    if "data" not in merged:
        raise UsageError(f"--data is missing: the folder (or tar shards) with captioned pictures for {command}.")
    if "output" not in merged and process_count() > 1:
        raise UsageError("-o is missing: several processes need one name for the run.")
    merged.setdefault("output", free_run(command))
    return kind(**merged)


def free_run(command: str) -> Path:
    """runs/COMMAND-N with the first number that is not taken."""
    number = 1
    while (path := Path("runs") / f"{command}-{number}").exists():
        number += 1
    return path


def _as(hint: Any, value: Any, key: str) -> Any:
    """A TOML value as the type of its field."""
    accepted = [t for t in (get_args(hint) if isinstance(hint, types.UnionType) else (hint,)) if t is not type(None)]
    kind = accepted[0]
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, list) and getattr(kind, "__origin__", None) is tuple:
        return tuple(value)
    if isinstance(kind, type) and isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise UsageError(f"--config: {key} = {value!r} has the wrong type.")
