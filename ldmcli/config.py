"""What a run was asked to do: one frozen dataclass per command, checked on birth. Knows no torch."""

import math
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from ldmcli.errors import UsageError

MAX_SEED = 2**64 - 1

TILED_ABOVE = 1024 * 1024
"""Pixels of a picture beyond which it is decoded in tiles unless --no-tiled-decode. A fixed number: what is free must not decide pixels."""


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
            'pip install "ldm-cli[tracking]"',
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
    latent_channels: int = 4
    channels: tuple[int, ...] = (32, 64, 128, 128)
    """Width at each resolution, from the full picture down; one fewer halvings than entries."""
    layers: int = 1
    kl_weight: float = 1e-6
    """Weight of the KL in nats per picture, beside a mean reconstruction error per value; see losses.py."""
    recon: str = "l1"
    perceptual: str = "edges"
    perceptual_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.recon in ("l1", "l2"), f"--recon {self.recon}: l1 or l2.")
        check(self.perceptual in ("edges", "dct"), f"--perceptual {self.perceptual}: edges or dct.")
        check(self.latent_channels >= 1, f"--latent-channels must be at least 1, got {self.latent_channels}.")
        check(len(self.channels) >= 2 and all(c >= 4 and c % 4 == 0 for c in self.channels), "--channels: two or more multiples of 4.")
        check(self.size % 2 ** (len(self.channels) - 1) == 0, f"--size {self.size} cannot be halved {len(self.channels) - 1} times.")
        check(self.kl_weight >= 0 and self.perceptual_weight >= 0, "--kl-weight and --perceptual-weight cannot be negative.")


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


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """`ldm generate`. None means: what the model says, else the tool's default."""

    prompts: tuple[str, ...] = ()
    negative_prompt: str = ""
    model: str = "bundled"
    vae: str | None = None
    """Whose VAE to use instead of the model's own."""
    tokenizer: str | None = None
    """A folder with CLIP's tokenizer files, which a checkpoint file lacks."""
    loras: tuple[str, ...] = ()
    """FILE_OR_FOLDER or FILE_OR_FOLDER:SCALE each; merged into the weights one after the other."""
    allow_pickle: bool = False
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
    """strip, gif or frames of the way from noise to the picture."""
    progressive_kind: str | None = None
    """What --progressive shows: x0, what the model predicted (the default), or xt, the noisy latents themselves."""
    preview: bool = False
    """Show the first picture of a batch in the terminal while it is drawn."""
    grid: bool = False
    """Also write one sheet of all pictures."""
    format: str | None = None
    """png, webp or jpg; None: what the name in `output` ends with, else png."""
    trace: Path | None = None
    """Folder for trace.html and trace.jsonl of the one picture."""
    metadata: bool = True
    upscale: int = 1
    resample: str = "nearest"
    device: str = "auto"
    dtype: str = "auto"
    vae_dtype: str = "auto"
    """Precision of the VAE alone; auto is that of the rest, or fp32 where the VAE's config asks for it."""
    tiled_decode: bool | None = None
    """Decode in overlapping tiles; None: only pictures of more than TILED_ABOVE pixels."""
    low_memory: bool = False
    """Hold one network at a time: text tower, U-Net, VAE. The pictures are the same."""
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
        check(self.vae_dtype in ("auto", "fp32", "fp16", "bf16"), f"--vae-dtype {self.vae_dtype}: auto, fp32, fp16 or bf16.")
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
        check(self.progressive_kind in (None, "x0", "xt"), f"--progressive-kind {self.progressive_kind}: x0 or xt.")
        check(
            self.progressive_kind is None or self.progressive is not None,
            "--progressive-kind says what --progressive shows.",
            "Add --progressive strip, gif or frames.",
        )
        check(self.format in (None, "png", "webp", "jpg"), f"--format {self.format}: png, webp or jpg.")
        check(1 <= self.upscale <= 32, f"--upscale must be between 1 and 32, got {self.upscale}.")
        check(self.resample in ("nearest", "lanczos"), f"--resample {self.resample}: nearest or lanczos.")


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """`ldm compare-schedulers`: the same pictures by every scheduler at every step count."""

    drawing: GenerateConfig = field(default_factory=GenerateConfig)
    """What all share. num_images: seeds per prompt; scheduler, steps, output and prompts are not used."""
    schedulers: tuple[str, ...] = ("ddim", "pndm", "dpm++2m-karras", "unipc", "euler", "heun")
    """Names of the catalogue."""
    steps: tuple[int, ...] = (5, 10, 20, 50)
    equal_nfe: bool = False
    """Read `steps` as U-Net calls: each scheduler takes as many steps as fit in."""
    reference_steps: int = 250
    """Steps of the DDIM walk that the others are measured against."""
    clip_model: str = "auto"
    """auto, none, or what `load_scorer` takes."""
    output: Path | None = None
    """None: outputs/compare-N."""
    overwrite: bool = False

    def __post_init__(self) -> None:
        for option, values in (("--schedulers", self.schedulers), ("--steps", self.steps)):
            check(bool(values), f"{option} names nothing.")
            twice = [value for value in values if values.count(value) > 1]
            check(not twice, f"{option} names {twice[0] if twice else ''} twice.")


@dataclass(frozen=True, kw_only=True)
class ClipScoreConfig:
    """`ldm clipscore`."""

    inputs: tuple[Path, ...] = ()
    captions: Path | None = None
    data: Path | None = None
    limit: int | None = None
    """Only the first so many pictures."""
    clip_model: str | None = None
    """None: the bundled scorer for pictures of the bundled model, else OpenAI's ViT-L/14."""
    prefix: str = ""
    references: Path | None = None
    baseline: str | None = None
    compare: Path | None = None
    fid: Path | None = None
    """Real pictures to measure FID and KID against."""
    output: Path | None = None
    overwrite: bool = False
    batch_size: int = 32
    seed: int = 0
    device: str = "auto"
    offline: bool = False

    def __post_init__(self) -> None:
        check(bool(self.inputs) or self.data is not None, "no picture was named.", "Try: ldm clipscore outputs/")
        check(self.captions is None or self.data is None, "--captions and --data both say where the captions are.", "Leave one out.")
        check(self.captions is None or bool(self.inputs), "--captions needs the pictures that it is about.", "Name their folder.")
        check(self.baseline in (None, "shuffled"), f"--baseline {self.baseline}: shuffled.")
        check(self.batch_size >= 1, f"--batch-size must be at least 1, got {self.batch_size}.")
        check(self.limit is None or self.limit >= 1, f"--limit must be at least 1, got {self.limit}.")
        check(0 <= self.seed <= MAX_SEED, f"--seed must be between 0 and 2**64 - 1, got {self.seed}.")
        check(_is_text(self.prefix), "--prefix is not valid UTF-8 text.")
        if self.output is not None:
            kinds = (".json", ".jsonl", ".csv")
            check(self.output.suffix in kinds, f"--output {self.output}: a name that ends in {', '.join(kinds)}.")
            check(self.overwrite or not self.output.exists(), f"--output {self.output} already exists.", "--overwrite replaces it.")
            check(self.output.absolute().parent.is_dir(), f"--output {self.output}: there is no such folder.")


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """`ldm bench`. The tuples are the axes of the matrix; an empty one means what the model says."""

    model: str = "bundled"
    dtypes: tuple[str, ...] = ("auto",)
    batch_sizes: tuple[int, ...] = (1,)
    sizes: tuple[tuple[int | None, int | None], ...] = ()
    """(width, height) in pixels."""
    steps: tuple[int, ...] = ()
    schedulers: tuple[str, ...] = ()
    cfg: float | None = None
    prompt: str = "a dog"
    seed: int | None = 0
    """None draws one."""
    runs: int = 7
    warmup: int = 2
    """Runs whose times are thrown away."""
    compile: bool = False
    compare: str | None = None
    """The name of a peer that draws the same pictures in turn with us."""
    pixel_space: bool = False
    train: bool = False
    train_batch_size: int = 16
    device: str = "auto"
    export_json: Path | None = None
    export_csv: Path | None = None
    export_markdown: Path | None = None
    chart: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        check(1 <= self.runs <= 10_000, f"--runs must be between 1 and 10,000, got {self.runs}.")
        check(1 <= self.warmup <= 1000, f"--warmup must be between 1 and 1000, got {self.warmup}.", "A first run is never like the others.")
        check(self.compare in (None, "diffusers"), f"--compare {self.compare}: diffusers is the only peer.")
        check(not (self.compare and self.compile), "--compare with --compile would compile one side only.", "Leave one of them out.")
        check(self.train_batch_size >= 1, f"--train-batch-size must be at least 1, got {self.train_batch_size}.")
        files = [path for path in (self.export_json, self.export_csv, self.export_markdown, self.chart) if path]
        check(len(set(files)) == len(files), "two of --export-json, --export-csv, --export-markdown and --chart name the same file.")
        for path in files:
            check(self.overwrite or not path.exists(), f"{path} exists.", "Name another file, or add --overwrite.")
            check(not path.is_dir(), f"{path} is a folder.", "Name a file.")


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
