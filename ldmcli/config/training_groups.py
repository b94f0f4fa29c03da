"""The options that train-vae and train-unet share, group by group."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from ldmcli.config.checks import check
from ldmcli.config.data import CaptionedOptions
from ldmcli.config.kinds import Kind, from_text
from ldmcli.config.option import Conflict, option
from ldmcli.config.options import Options
from ldmcli.config.shared import SEED

AUTO_BATCH = AUTO = "auto"


def batch_number(text: str) -> int | str:
    """A number, or AUTO_BATCH. Raises UsageError."""
    number: int | str = text if text == AUTO_BATCH else from_text(Kind(int), text, "--batch-size")
    return number


def newest(resume: str) -> str:
    """latest is auto; a path stays."""
    return AUTO if resume == "latest" else resume


def batch_fields(value: int | str) -> dict[str, Any]:
    """A number is one, and `auto` leaves the number alone."""
    return {"auto_batch": True} if value == AUTO_BATCH else {"batch_size": value, "auto_batch": False}


@dataclass(frozen=True, kw_only=True)
class TrainingData(CaptionedOptions, group="Data"):
    """The pictures, and how they become squares."""

    images: Path | None = option(None, "--images", metavar="DIR", help="Folder of pictures, with --captions.")
    captions: Path | None = option(
        None, "--captions", metavar="FILE", help="COCO, Karpathy or metadata.jsonl captions file, with --images."
    )
    allow_missing: bool = option(False, "--allow-missing", help="Leave out pictures that are missing, be it over 1 %, and texts no UTF-8.")
    image_key: str | None = option(
        None,
        "--image-key",
        metavar="ENDING",
        help="Of the pictures in WebDataset shards: jpg, target.png, ...; or a Parquet column.",
        default_is="any",
    )
    caption_key: str | None = option(
        None, "--caption-key", metavar="ENDING", help="Of the captions there: txt, prompt.json, ...; or a column.",
        default_is="txt, text or caption, else json",
    )  # fmt: skip
    size: int = option(
        64, "--size", "--resolution", metavar="PIXELS", help="Side of the training pictures.", multiple_of=8, at_least=16, at_most=1024
    )
    crop: Literal["center", "random", "none"] = option(
        "center", "--crop", help="Which square: random is along the longer side, none squeezes."
    )
    flip: bool = option(False, "--flip", "--random-flip", help="Mirror every other picture left and right.")
    held_out: float = option(
        0.02, "--held-out", metavar="SHARE", help="Pictures kept for validation (at most 256); 0 trains on all.", at_least=0, below=0.5
    )
    max_bad: int = option(100, "--max-bad", metavar="N", help="More unusable pictures than this end the run.", at_least=0)
    cache: Path | None = option(
        None, "--cache", metavar="DIR", help="Where decoded pictures and encoded data are kept.", default_is="the run"
    )
    no_cache: bool = option(False, "--no-cache", help="Keep nothing on disk; decode and encode at every step (slow).")
    stream: bool = option(
        False, "--stream", stands_for=lambda value: {"stream": value, "no_cache": value},
        help="Read tar or Parquet shards as they come, with no index and no cache; shuffled by blocks.",
    )  # fmt: skip
    shuffle_block: int = option(
        8, "--shuffle-block", metavar="SHARDS", help="With --stream: how many are shuffled together, and got before.", at_least=1
    )
    workers: int = option(
        0, "--workers", "--dataloader-num-workers", metavar="N", help="Processes that read pictures; 0: threads.", at_least=0, at_most=256
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.no_cache or not self.stream, "--stream caches nothing.", "Leave out one of the two.")
        check(
            not (self.stream and (self.crop == "random" or self.captions or self.images)),
            "--stream has no --crop random, and reads shards, which hold their captions.", "Leave out one of the two.",
        )  # fmt: skip
        check(not (self.cache and self.no_cache), "--cache names a folder and --no-cache wants none.", "Leave one out.")


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions(Options, group="Optimizer"):
    """How the weights move."""

    epochs: int = option(20, "--epochs", "--num-train-epochs", metavar="N", help="Passes over the pictures.", at_least=1)
    max_steps: int | None = option(
        None, "--max-steps", "--max-train-steps", metavar="N", help="Optimizer steps; wins over --epochs.", at_least=1
    )
    batch_size: int = option(
        64, "--batch-size", "--train-batch-size", metavar="INTEGER|auto", parse=batch_number, stands_for=batch_fields, at_least=1,
        help="Pictures per process and accumulation part; auto: the largest power of two that fits.", suggest=(AUTO_BATCH,),
    )  # fmt: skip
    auto_batch: bool = option(False, help="What --batch-size auto sets.")
    lr: float = option(1e-3, "--lr", "--learning-rate", metavar="NUMBER", help="Learning rate, after the warm-up.", above=0)
    lr_schedule: Literal["constant", "linear", "cosine"] = option(
        "constant", "--lr-schedule", "--lr-scheduler", help="How the learning rate goes on after the warm-up."
    )
    warmup: int = option(
        100, "--warmup", "--lr-warmup-steps", metavar="STEPS", help="Steps in which the learning rate rises from 0.", at_least=0
    )
    optimizer: Literal["adamw", "muon"] = option(
        "adamw", "--optimizer", help="muon: orthogonal steps of all matrices, AdamW's of the rest; takes --lr two to four times as high."
    )
    weight_decay: float = option(0.01, "--weight-decay", metavar="NUMBER", help="Share of lr by which weights shrink at every step.")
    grad_accum: int = option(
        1, "--grad-accum", "--gradient-accumulation-steps", metavar="N", help="Batches whose gradients make one step.", at_least=1
    )
    max_grad_norm: float = option(1.0, "--max-grad-norm", metavar="NUMBER", help="Longer gradients are cut; 0: never.", at_least=0)
    ema: float = option(0.999, "--ema", metavar="DECAY", help="Of the weight average; 0 turns it off.", at_least=0, below=1)


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions(Options, group="Checkpoints and logs"):
    """What is kept of a run, when it ends, and going on with it."""

    resume: str | None = option(
        None,
        "--resume",
        metavar="auto|latest|RUN|CHECKPOINT",
        suggest=("auto", "latest"),
        help="Go on: auto or latest (of -o), a run, whose own options hold, or a checkpoint.",
        convert=newest,
    )
    force: bool = option(False, "--force", help="Resume although settings or data have changed.")
    save_every: int = option(500, "--save-every", "--checkpointing-steps", metavar="STEPS", help="Steps from one to the next.", at_least=1)
    keep: int = option(2, "--keep", metavar="N", help="Checkpoints to keep.", at_least=1)
    sample_every: int = option(500, "--sample-every", metavar="STEPS", help="Steps between two sample sheets.", at_least=1)
    val_every: int = option(500, "--val-every", metavar="STEPS", help="Steps between two validations.", at_least=1)
    log_every: int = option(10, "--log-every", metavar="STEPS", help="Steps between two lines of the log.", at_least=1)
    max_hours: float | None = option(None, "--max-hours", metavar="HOURS", help="Save and stop after this time.")
    tracker: Literal["tensorboard"] | None = option(
        None, "--tracker", "--report-to", help="tensorboard: curves and sample sheets in RUN/tensorboard."
    )
    dry_run: bool = option(False, "--dry-run", help="Say what the run would need, from three real steps, and end.")
    planned_processes: int = option(
        1, "--processes", metavar="N", help="With --dry-run: plan for N processes; only one is started.", at_least=1, conflicts=(
            Conflict(lambda options: not options.dry_run, "--processes plans, and a launcher starts: torchrun.", "Add --dry-run."),
        ),
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        check(
            self.tracker is None or find_spec("tensorboard") is not None,
            "--tracker tensorboard: TensorBoard is not installed.", "pip install tensorboard",
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainingDevice(Options, group="Device"):
    """How fast and how exactly a step is computed."""

    mixed_precision: Literal["auto", "no", "fp16", "bf16"] = option("auto", "--mixed-precision", help="Of the forward pass.")
    compile: bool = option(False, "--compile", help="torch.compile the network: slower start, faster steps.")
    seed: int = option(0, "-s", "--seed", help="Everything random follows from it.", hint="A training run must be repeatable.", **SEED)
