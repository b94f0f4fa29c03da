"""What a training run was asked to do, checked on birth. Knows no torch."""

import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ldmcli.config.checks import MAX_SEED, check


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What train-vae and train-unet share."""

    data: Path
    output: Path
    images: Path | None = None
    captions: Path | None = None
    allow_missing: bool = False
    image_key: str | None = None
    """The ending of the pictures among the members of a WebDataset shard, such as jpg or target.png. None: whatever Pillow opens."""
    caption_key: str | None = None
    """The ending of the captions there, such as txt or prompt.json. None: txt, text or caption, else json."""
    size: int = 64
    """Side of the training pictures in pixels."""
    epochs: int = 20
    max_steps: int | None = None
    """Optimizer steps; wins over epochs."""
    batch_size: int = 64
    """Pictures per process and accumulation part."""
    auto_batch: bool = False
    """Take the largest power of two that fits instead of batch_size."""
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
    """None, "auto" or "latest" (newest checkpoint of the output folder, if any), or the path of a run or a checkpoint."""
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
    tracker: str | None = None
    """tensorboard: also keep curves and sample sheets in RUN/tensorboard."""
    seed: int = 0
    device: str = "auto"
    cache: Path | None = None
    workers: int = 0
    """Processes that read pictures; 0 is threads of the trainer."""
    no_cache: bool = False
    """Keep nothing on disk: decode and encode again whenever a picture is drawn."""
    crop: str = "center"
    """center, random (one of four squares along the longer side, another each time) or none (squeezed)."""
    flip: bool = False
    """Mirror left and right, every other time."""
    dry_run: bool = False
    """Only say what the run would need."""

    def __post_init__(self) -> None:
        if self.resume == "latest":
            object.__setattr__(self, "resume", "auto")
        for name in ("epochs", "batch_size", "grad_accum", "save_every", "sample_every", "val_every", "keep", "log_every"):
            check(getattr(self, name) >= 1, f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}.")
        check(self.max_steps is None or self.max_steps >= 1, f"--max-steps must be at least 1, got {self.max_steps}.")
        check(self.limit is None or self.limit >= 1, f"--limit must be at least 1, got {self.limit}.")
        check(math.isfinite(self.lr) and self.lr > 0, f"--lr must be a number above 0, got {self.lr}.")
        check(0 <= self.held_out < 0.5, f"--held-out must be in [0, 0.5), got {self.held_out}.")
        check(0 <= self.ema < 1, f"--ema must be in [0, 1), got {self.ema}.")
        check(self.size % 8 == 0 and 16 <= self.size <= 1024, f"--size must be a multiple of 8 between 16 and 1024, got {self.size}.")
        check(self.crop in ("center", "random", "none"), f"--crop {self.crop}: center, random or none.")
        check(not (self.cache and self.no_cache), "--cache names a folder and --no-cache wants none.", "Leave one out.")
        check(0 <= self.workers <= 256, f"--workers must be between 0 and 256, got {self.workers}.")
        check(self.tracker in (None, "tensorboard"), f"--tracker {self.tracker}: tensorboard.")
        check(
            self.tracker is None or find_spec("tensorboard") is not None,
            "--tracker tensorboard: TensorBoard is not installed.",
            "pip install tensorboard",
        )
        check(self.max_bad >= 0, f"--max-bad must be at least 0, got {self.max_bad}.")
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

    init: str | None = None
    """Start from this model's VAE, whose shape wins over latent_channels, channels and layers. None: from scratch."""
    new_scale: bool = False
    """Measure scale and centre of the latents anew instead of keeping those of --init, whose U-Net then fits no more."""
    latent_channels: int = 4
    channels: tuple[int, ...] = (32, 64, 128, 128)
    """Width at each resolution, from the full picture down; one fewer halvings than entries."""
    layers: int = 1
    kl_weight: float = 1e-6
    """Weight of the KL in nats per picture, beside a mean reconstruction error per value; see losses.py."""
    recon: str = "l1"
    perceptual: str = "edges"
    perceptual_weight: float = 0.0
    adversarial_weight: float = 0.0
    """Of the patch discriminator's term, once both losses pull equally hard on the decoder's last layer; 0: no discriminator."""
    adversarial_start: int = 1000
    """Steps before the discriminator joins."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.recon in ("l1", "l2"), f"--recon {self.recon}: l1 or l2.")
        check(self.perceptual in ("edges", "dct", "lpips"), f"--perceptual {self.perceptual}: edges, dct or lpips.")
        check(self.init is not None or not self.new_scale, "--new-scale goes with --init; a new VAE is measured anyway.", "Leave it out.")
        check(self.latent_channels >= 1, f"--latent-channels must be at least 1, got {self.latent_channels}.")
        check(len(self.channels) >= 2 and all(c >= 4 and c % 4 == 0 for c in self.channels), "--channels: two or more multiples of 4.")
        check(self.size % 2 ** (len(self.channels) - 1) == 0, f"--size {self.size} cannot be halved {len(self.channels) - 1} times.")
        for name in ("kl_weight", "perceptual_weight", "adversarial_weight"):
            value = getattr(self, name)
            check(math.isfinite(value) and value >= 0, f"--{name.replace('_', '-')} must be a number of at least 0, got {value}.")
        check(self.adversarial_start >= 0, f"--adversarial-start must be at least 0, got {self.adversarial_start}.")


@dataclass(frozen=True, kw_only=True)
class TrainUNetConfig(TrainConfig):
    """`ldm train-unet`. None means: what the model of --init has, else the tool's default; see engine/starting_point.py."""

    vae: str | None = None
    text_encoder: str | None = None
    tokenizer: str | None = None
    """A folder with CLIP's tokenizer files, which a checkpoint file lacks."""
    init: str | None = None
    """Start from this model's U-Net, whose shape wins over channels, layers and heads. None: from scratch."""
    train_text_encoder: bool = False
    text_encoder_lr: float | None = None
    """Learning rate of the text tower; None is lr. It follows the same schedule."""
    lora_rank: int | None = None
    """Train low-rank adapters of this rank and leave the weights of --init alone."""
    lora_alpha: float | None = None
    """Their scale times their rank; None is the rank, so that the scale is 1."""
    cfg_dropout: float = 0.1
    schedule: str | None = None
    prediction: str | None = None
    zero_terminal_snr: bool = False
    """End the schedule in noise alone, and sample with trailing spacing, which begins there."""
    snr_gamma: float | None = None
    gradient_checkpointing: bool = False
    """Keep fewer activations and compute them again: less memory, slower steps, the same numbers."""
    channels: tuple[int, ...] = (128, 256)
    layers: int = 2
    heads: int = 4
    text_mask: bool = False
    """Hide pads from cross-attention."""
    prompts: Path | None = None
    sample_clipscore: str | None = None
    """The CLIP that scores the sample sheets: `bundled`, a folder or a hub id. None: they are not scored."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(0 <= self.cfg_dropout < 1, f"--cfg-dropout must be in [0, 1), got {self.cfg_dropout}.")
        check(self.schedule in (None, "cosine", "scaled-linear", "linear"), f"--schedule {self.schedule}: cosine, scaled-linear or linear.")
        check(self.prediction in (None, "v", "epsilon"), f"--prediction {self.prediction}: v or epsilon.")
        check(
            not (self.zero_terminal_snr and self.prediction == "epsilon"),
            "--zero-terminal-snr with --prediction epsilon: noise alone has nothing to teach.",
            "Use --prediction v.",
        )
        check(self.snr_gamma is None or self.snr_gamma > 0, f"--snr-gamma must be above 0, got {self.snr_gamma}.")
        check(bool(self.channels) and all(c >= 32 and c % 32 == 0 for c in self.channels), "--channels: multiples of 32.")
        check(self.heads >= 1 and all(c % self.heads == 0 for c in self.channels), f"--heads {self.heads} must divide every width.")
        check(self.lora_rank is None or self.lora_rank >= 1, f"--lora-rank must be at least 1, got {self.lora_rank}.", "4 is usual.")
        check(
            self.lora_rank is None or self.init is not None,
            "--lora-rank adapts a trained U-Net, and none is named.",
            "Name it with --init, or leave out --lora-rank to train from scratch.",
        )
        check(self.lora_alpha is None or self.lora_rank is not None, "--lora-alpha scales what --lora-rank adds.", "Add --lora-rank 4.")
        for name in ("lora_alpha", "text_encoder_lr"):
            value = getattr(self, name)
            option = f"--{name.replace('_', '-')}"
            check(value is None or (math.isfinite(value) and value > 0), f"{option} must be a number above 0, got {value}.")
        check(
            self.text_encoder_lr is None or self.train_text_encoder,
            "--text-encoder-lr is for a text encoder that trains.",
            "Add --train-text-encoder.",
        )
