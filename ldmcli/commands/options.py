"""Option types that several commands share, and the small conversions that belong to parsing."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ldmcli.errors import UsageError

DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
SeedOption = Annotated[int | None, typer.Option("-s", "--seed", help="Picture i has seed + i. Omitted or -1: drawn and printed.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Print bare results only.")]


def stay_offline(wanted: bool) -> bool:
    """--offline is huggingface_hub's own switch, which every command and library in this process obeys."""
    if wanted:
        os.environ["HF_HUB_OFFLINE"] = "1"
    return wanted


OfflineOption = Annotated[bool, typer.Option("--offline", callback=stay_offline, help="Never use the network: the hub cache only.")]
AllowPickleOption = Annotated[
    bool | None, typer.Option("--allow-pickle", help="Read .ckpt and .bin weights too (tensors alone; code in them is not run).")
]

DataOption = Annotated[Path | None, typer.Option("--data", help="COCO, metadata.jsonl, .txt captions or tar shards: see the README.")]
ImagesOption = Annotated[Path | None, typer.Option("--images", help="Folder of pictures, with --captions.")]
CaptionsOption = Annotated[Path | None, typer.Option("--captions", help="COCO, Karpathy or metadata.jsonl captions file, with --images.")]
AllowMissingOption = Annotated[
    bool | None,
    typer.Option("--allow-missing", help="Leave out pictures that are missing, be it more than 1 %, and texts that are no UTF-8."),
]
ImageKeyOption = Annotated[
    str | None, typer.Option("--image-key", help="Ending of the pictures in WebDataset shards, such as jpg or target.png.")
]
CaptionKeyOption = Annotated[
    str | None, typer.Option("--caption-key", help="Ending of the captions in WebDataset shards, such as txt or prompt.json.")
]
RunOption = Annotated[Path | None, typer.Option("-o", "--output", "--output-dir", help="Run folder (default runs/COMMAND-N).")]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="TOML file with option names as keys; flags win.")]
SizeOption = Annotated[int | None, typer.Option("--size", "--resolution", help="Side of the training pictures in pixels.")]
EpochsOption = Annotated[int | None, typer.Option("--epochs", "--num-train-epochs")]
MaxStepsOption = Annotated[int | None, typer.Option("--max-steps", "--max-train-steps", help="Optimizer steps; wins over --epochs.")]


AUTO_BATCH = "auto"


def batch_number(text: str) -> int | str:
    """A number, or AUTO_BATCH. Raises ValueError."""
    return text if text == AUTO_BATCH else int(text)


BatchOption = Annotated[
    Any,  # int, AUTO_BATCH or None: Typer knows no unions
    typer.Option(
        "--batch-size", "--train-batch-size", parser=batch_number, metavar="INTEGER|auto",
        help="Pictures per process and accumulation part; auto: the largest power of two that fits.",
    ),
]  # fmt: skip
LrOption = Annotated[float | None, typer.Option("--lr", "--learning-rate")]
LrScheduleOption = Annotated[str | None, typer.Option("--lr-schedule", "--lr-scheduler", help="constant, linear or cosine.")]
WarmupOption = Annotated[int | None, typer.Option("--warmup", "--lr-warmup-steps", help="Steps.")]
WeightDecayOption = Annotated[float | None, typer.Option("--weight-decay")]
GradAccumOption = Annotated[int | None, typer.Option("--grad-accum", "--gradient-accumulation-steps")]
MaxGradNormOption = Annotated[float | None, typer.Option("--max-grad-norm", help="0: no clipping.")]
MixedPrecisionOption = Annotated[str | None, typer.Option("--mixed-precision", help="auto, no, fp16 or bf16.")]
EmaOption = Annotated[float | None, typer.Option("--ema", help="Decay of the weight average; 0 turns it off.")]
SaveEveryOption = Annotated[int | None, typer.Option("--save-every", "--checkpointing-steps", help="Steps.")]
KeepOption = Annotated[int | None, typer.Option("--keep", help="Checkpoints to keep.")]
ResumeOption = Annotated[
    str | None, typer.Option("--resume", help="auto or latest (of -o), a run, whose own options hold, or a checkpoint.")
]
ForceOption = Annotated[bool | None, typer.Option("--force", help="Resume although settings or data have changed.")]
SampleEveryOption = Annotated[int | None, typer.Option("--sample-every", help="Steps.")]
ValEveryOption = Annotated[int | None, typer.Option("--val-every", help="Steps.")]
LimitOption = Annotated[int | None, typer.Option("--limit", "--max-train-samples", help="Use only the first so many pictures.")]
HeldOutOption = Annotated[float | None, typer.Option("--held-out", help="Share of the pictures kept for validation.")]
CompileOption = Annotated[bool | None, typer.Option("--compile", help="torch.compile the network: slower start, faster steps.")]
MaxBadOption = Annotated[int | None, typer.Option("--max-bad", help="More unusable pictures than this end the run.")]
DryRunOption = Annotated[bool | None, typer.Option("--dry-run", help="Say what the run would need, from three real steps, and end.")]
MaxHoursOption = Annotated[float | None, typer.Option("--max-hours", help="Save and stop after this time.")]
LogEveryOption = Annotated[int | None, typer.Option("--log-every", help="Steps.")]
TrackerOption = Annotated[str | None, typer.Option("--tracker", "--report-to", help="tensorboard: curves in RUN/tensorboard.")]
CacheOption = Annotated[Path | None, typer.Option("--cache", help="Where decoded pictures and encoded data are kept (default: the run).")]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", "--dataloader-num-workers", help="Processes that read pictures (default 0: threads).")
]
NoCacheOption = Annotated[bool | None, typer.Option("--no-cache", help="Keep nothing on disk; decode and encode at every step (slow).")]
CropOption = Annotated[str | None, typer.Option("--crop", help="center, random (along the longer side) or none (squeezed).")]
FlipOption = Annotated[bool | None, typer.Option("--flip", "--random-flip", help="Mirror every other picture left and right.")]
TrainSeedOption = Annotated[int | None, typer.Option("-s", "--seed", help="Everything random follows from it (default 0).")]
TrainDeviceOption = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]


def whole_numbers(text: str | None, option: str) -> tuple[int, ...] | None:
    """ "32,64,128" -> (32, 64, 128). Raises UsageError."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"{option} {text}: whole numbers with commas between are needed.") from error


def names(text: str) -> tuple[str, ...]:
    """ "ddim, unipc" -> ("ddim", "unipc")."""
    return tuple(part.strip() for part in text.split(","))


def picture_size(text: str | None, width: int | None, height: int | None) -> tuple[int | None, int | None]:
    """--size "512x384" is (512, 384), "64" is (64, 64); --width and --height win. Raises UsageError."""
    if text is None:
        return width, height
    across, _, down = text.lower().partition("x")
    if not across.isdecimal() or (down and not down.isdecimal()):
        raise UsageError(f"--size {text}: WIDTHxHEIGHT is needed, such as 64x64.")
    return (int(across) if width is None else width), (int(down or across) if height is None else height)


LONG_DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}


def dtype_name(text: str, option: str = "--dtype") -> str:
    """Both spellings to the short one. Raises UsageError."""
    short = LONG_DTYPES.get(text, text)
    if short not in ("auto", "fp32", "fp16", "bf16"):
        raise UsageError(f"{option} {text}: auto, fp32, fp16 or bf16.")
    return short


def device_name(text: str) -> str:
    """Raises UsageError for what cannot be a device."""
    kind, _, number = text.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (number and (kind != "cuda" or not number.isdigit())):
        raise UsageError(f"--device {text}: auto, cpu, cuda, cuda:N or mps.")
    return text
