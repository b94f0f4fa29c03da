"""What a run was asked to do: one frozen dataclass per command, checked on birth. Knows no torch."""

import math
from dataclasses import dataclass
from pathlib import Path

from ldmcli.errors import UsageError

MAX_SEED = 2**64 - 1


def check(condition: bool, message: str, hint: str = "") -> None:
    """Raise UsageError unless the condition holds."""
    if not condition:
        raise UsageError(message, hint=hint)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What train-vae and train-unet share."""

    data: Path
    output: Path
    images: Path | None = None
    captions: Path | None = None
    allow_missing: bool = False
    size: int = 64
    """Side of the training pictures in pixels."""
    epochs: int = 20
    max_steps: int | None = None
    """Optimizer steps; wins over epochs."""
    batch_size: int = 64
    """Pictures per process and accumulation part."""
    lr: float = 1e-3
    lr_schedule: str = "constant"
    warmup: int = 100
    weight_decay: float = 0.01
    grad_accum: int = 1
    max_grad_norm: float = 1.0
    mixed_precision: str = "auto"
    ema: float = 0.999
    """Decay of the weight average; 0 turns it off."""
    save_every: int = 500
    keep: int = 2
    resume: str | None = None
    """None, "auto" (newest checkpoint of the output folder, if any) or the path of a checkpoint."""
    force: bool = False
    sample_every: int = 500
    val_every: int = 500
    limit: int | None = None
    held_out: float = 0.02
    """Share of the pictures kept for validation (at most 256 pictures); 0 trains on all."""
    compile: bool = False
    max_bad: int = 100
    """More unusable pictures than this end the run."""
    max_hours: float | None = None
    log_every: int = 10
    seed: int = 0
    device: str = "auto"
    cache: Path | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "grad_accum", "save_every", "sample_every", "val_every", "keep", "log_every"):
            check(getattr(self, name) >= 1, f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}.")
        check(self.max_steps is None or self.max_steps >= 1, f"--max-steps must be at least 1, got {self.max_steps}.")
        check(self.limit is None or self.limit >= 1, f"--limit must be at least 1, got {self.limit}.")
        check(math.isfinite(self.lr) and self.lr > 0, f"--lr must be a number above 0, got {self.lr}.")
        check(0 <= self.held_out < 0.5, f"--held-out must be in [0, 0.5), got {self.held_out}.")
        check(0 <= self.ema < 1, f"--ema must be in [0, 1), got {self.ema}.")
        check(self.size % 8 == 0 and 16 <= self.size <= 1024, f"--size must be a multiple of 8 between 16 and 1024, got {self.size}.")
        check(self.warmup >= 0 and self.max_grad_norm >= 0, "--warmup and --max-grad-norm cannot be negative.")
        check(self.lr_schedule in ("constant", "linear", "cosine"), f"--lr-schedule {self.lr_schedule}: constant, linear or cosine.")
        check(
            self.mixed_precision in ("auto", "no", "fp16", "bf16"),
            f"--mixed-precision {self.mixed_precision}: auto, no, fp16 or bf16.",
        )
        check(0 <= self.seed <= MAX_SEED, f"--seed must be between 0 and 2**64 - 1, got {self.seed}.")


@dataclass(frozen=True, kw_only=True)
class TrainVAEConfig(TrainConfig):
    """`ldm train-vae`."""

    latent_channels: int = 4
    channels: tuple[int, ...] = (32, 64, 128, 128)
    """Width at each resolution, from the full picture down; one fewer halvings than entries."""
    layers: int = 1
    kl_weight: float = 1e-6
    """Weight of the KL in nats per picture, beside a mean reconstruction error per value; see losses.py."""
    recon: str = "l1"
    perceptual_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.recon in ("l1", "l2"), f"--recon {self.recon}: l1 or l2.")
        check(self.latent_channels >= 1, f"--latent-channels must be at least 1, got {self.latent_channels}.")
        check(len(self.channels) >= 2 and all(c >= 4 and c % 4 == 0 for c in self.channels), "--channels: two or more multiples of 4.")
        check(self.size % 2 ** (len(self.channels) - 1) == 0, f"--size {self.size} cannot be halved {len(self.channels) - 1} times.")
        check(self.kl_weight >= 0 and self.perceptual_weight >= 0, "--kl-weight and --perceptual-weight cannot be negative.")


@dataclass(frozen=True, kw_only=True)
class TrainUNetConfig(TrainConfig):
    """`ldm train-unet`."""

    vae: str = "bundled"
    text_encoder: str = "bundled"
    init: str | None = None
    """Start from this model's U-Net, whose shape wins over channels, layers and heads. None: from scratch."""
    cfg_dropout: float = 0.1
    schedule: str = "cosine"
    prediction: str = "v"
    snr_gamma: float | None = None
    channels: tuple[int, ...] = (128, 256)
    layers: int = 2
    heads: int = 4
    text_mask: bool = False
    """Hide pads from cross-attention."""
    prompts: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 <= self.cfg_dropout < 1, f"--cfg-dropout must be in [0, 1), got {self.cfg_dropout}.")
        check(self.schedule in ("cosine", "scaled-linear", "linear"), f"--schedule {self.schedule}: cosine, scaled-linear or linear.")
        check(self.prediction in ("v", "epsilon"), f"--prediction {self.prediction}: v or epsilon.")
        check(self.snr_gamma is None or self.snr_gamma > 0, f"--snr-gamma must be above 0, got {self.snr_gamma}.")
        check(bool(self.channels) and all(c >= 32 and c % 32 == 0 for c in self.channels), "--channels: multiples of 32.")
        check(self.heads >= 1 and all(c % self.heads == 0 for c in self.channels), f"--heads {self.heads} must divide every width.")


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """`ldm generate`. None means: what the model says, else the tool's default."""

    prompts: tuple[str, ...] = ()
    negative_prompt: str = ""
    model: str = "bundled"
    scheduler: str | None = None
    steps: int | None = None
    cfg: float | None = None
    cfg_rescale: float = 0.0
    cfg_interval: tuple[float, float] | None = None
    """Guide only while timestep / 1000 lies between these; None is always."""
    weighting: str = "none"
    """What brackets in a prompt mean: none (they are text) or a1111."""
    long_prompts: bool = False
    """Encode as many windows of the text encoder as a prompt needs, instead of cutting it."""
    measure: bool = False
    """Draw every picture again without each approximate choice and compare."""
    spacing: str | None = None
    sigma_clip: bool = True
    seed: int | None = None
    """None draws one."""
    num_images: int = 1
    batch_size: int = 8
    width: int | None = None
    height: int | None = None
    output: str = "outputs/"
    overwrite: bool = False
    resume: bool = False
    """Skip what the manifest of the output folder says is finished."""
    progressive: str | None = None
    """strip, gif or frames of what the model predicted on the way."""
    metadata: bool = True
    upscale: int = 1
    resample: str = "nearest"
    device: str = "auto"
    dtype: str = "auto"
    strict: bool = False

    def __post_init__(self) -> None:
        for text in (*self.prompts, self.negative_prompt):
            check(_is_text(text), "a prompt is not valid UTF-8 text.", "Check the encoding of your terminal or script.")
        if self.cfg is not None:
            check(math.isfinite(self.cfg) and self.cfg >= 0, f"--cfg must be a number of at least 0, got {self.cfg}.")
        check(0 <= self.cfg_rescale <= 1, f"--cfg-rescale must be in [0, 1], got {self.cfg_rescale}.")
        low, high = self.cfg_interval or (0.0, 1.0)
        check(0 <= low < high <= 1, f"--cfg-interval {low:g},{high:g}: 0 <= LO < HI <= 1 is needed.", "1 is pure noise, 0 a clean picture.")
        check(self.weighting in ("none", "a1111"), f"--weighting {self.weighting}: none or a1111.")
        check(self.spacing in (None, "leading", "linspace", "trailing"), f"--spacing {self.spacing}: leading, linspace or trailing.")
        check(
            self.seed is None or 0 <= self.seed <= MAX_SEED, f"--seed must be between -1 and 2**64 - 1, got {self.seed}.", "-1 draws one."
        )
        check(1 <= self.num_images <= 10**6, f"-n/--num-images must be between 1 and 1,000,000, got {self.num_images}.")
        check(self.batch_size >= 1, f"--batch-size must be at least 1, got {self.batch_size}.")
        for name in ("width", "height"):
            value = getattr(self, name)
            check(
                value is None or (0 < value <= 8192 and value % 8 == 0),
                f"--{name} must be a multiple of 8 between 8 and 8192, got {value}.",
                f"A square of that side takes {value**2 * 12 / 2**30:,.1f} GiB before any network has run."
                if 8192 < (value or 0) < 10**9
                else "",
            )
        check(self.progressive in (None, "strip", "gif", "frames"), f"--progressive {self.progressive}: strip, gif or frames.")
        check(1 <= self.upscale <= 32, f"--upscale must be between 1 and 32, got {self.upscale}.")
        check(self.resample in ("nearest", "lanczos"), f"--resample {self.resample}: nearest or lanczos.")


def parse_interval(text: str) -> tuple[float, float]:
    """ "0.2,0.8" -> (0.2, 0.8). Raises UsageError."""
    low, _, high = text.partition(",")
    try:
        return float(low), float(high)
    except ValueError as error:
        raise UsageError(f"--cfg-interval {text}: LO,HI is needed, such as 0.2,0.8.") from error


def _is_text(text: str) -> bool:
    """No lone surrogates, which is how Python shows undecodable bytes of the command line."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
