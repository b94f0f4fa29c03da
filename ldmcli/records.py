"""What a run reports back: plain numbers, paths and sentences, no tensors. console/ draws them, --json dumps them, tests read them."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Memory:
    """Bytes now and at the peak; VRAM is None without a GPU."""

    rss_bytes: int
    peak_rss_bytes: int
    vram_bytes: int | None
    peak_vram_bytes: int | None


@dataclass(frozen=True)
class Note:
    """A sentence for the user. `warning` if something may not be as they expect."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of a named stage."""

    stage: str
    done: int
    total: int
    memory: Memory | None = None


@dataclass(frozen=True, kw_only=True)
class TrainStep:
    """One optimizer step. terms: named losses, "loss" among them; lr: learning rate; seconds: wall time of the step."""

    step: int
    total: int
    terms: dict[str, float]
    lr: float
    images_per_s: float
    seconds: float
    memory: Memory | None = None


@dataclass(frozen=True)
class Saved:
    """A file or folder was written."""

    what: str
    path: Path


@dataclass(frozen=True)
class TrainDone:
    """The run has ended. figures: what it measured at the end."""

    run: Path
    model: Path
    step: int
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What a training run would need: the answer to --dry-run. Sizes in bytes, times in seconds.

    tried, bad: pictures that were really decoded, and how many of them are unusable; problems: what the data set lacks.
    """

    source: str
    pictures: int
    problems: tuple[str, ...]
    tried: int
    bad: int
    parameters: int
    steps_per_epoch: int
    steps: int
    seconds_per_step: float
    prepare_s: float
    eta_s: float
    peak_rss_bytes: int
    peak_vram_bytes: int | None
    disk_bytes: int
    disk_free_bytes: int


@dataclass(frozen=True)
class Preview:
    """A picture on its way. png: the bytes of a file."""

    png: bytes


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """One picture that was made; the keys of `images` in the JSON of `generate`. progress: what --progressive wrote.

    guided_calls: with --cfg-interval, how many of num_unet_calls evaluated the picture twice, with the prompt and without.
    vae_retried_in_fp32: the VAE overflowed in half precision, so fp32 made the pixels; None where that was not so.
    """

    path: str
    prompt: str
    negative_prompt: str
    seed: int
    steps: int
    num_unet_calls: int
    scheduler: str
    cfg: float
    width: int
    height: int
    truncated_tokens: int
    seconds: float
    progress: str | None = None
    guided_calls: int | None = None
    vae_retried_in_fp32: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How far an approximate choice took a picture from the one drawn without it; an entry of `measured`.

    psnr: in dB, None where the two are equal; max_difference: of any channel of any pixel, 0 to 255; unet_evaluations: of this picture, two
    for a guided call; seconds: its share of the time to draw its batch. `exact_`: the same of the run without the choice.
    """

    image: str
    choice: str
    psnr: float | None
    max_difference: int
    unet_evaluations: int
    exact_unet_evaluations: int
    seconds: float
    exact_seconds: float


@dataclass(frozen=True, kw_only=True)
class FailedItem:
    """A picture, or a line of a prompts file, that nothing came of; an entry of `failed`. line: from 1, None without a file."""

    line: int | None
    prompt: str | None
    error: str
    exit_code: int


@dataclass(frozen=True)
class Verified:
    """A picture was drawn again. max_difference: of any channel, 0 to 255; None when the sizes differ."""

    image: str
    max_difference: int | None


@dataclass(frozen=True, kw_only=True)
class GenerateReport:
    """The JSON of `generate`. timing: seconds by stage; memory: bytes; grid, trace: the file of that option; measured: of --measure."""

    model: str
    device: str
    dtype: str
    images: list[ImageRecord]
    failed: list[FailedItem]
    timing: dict[str, float]
    memory: dict[str, int | None]
    grid: str | None = None
    trace: str | None = None
    measured: list[Measured] | None = None


@dataclass(frozen=True, kw_only=True)
class ComparedRow:
    """One scheduler at one step count; a row of `compare-schedulers`. What could not be measured is None, and error says why.

    budget: the entry of --steps behind it; seconds: denoising of all pictures; seconds_per_call: of one batch;
    latent_rmse_to_reference, psnr_to_reference (dB): medians over the pictures; relative_rmse: that RMSE over the standard deviation
    of the reference latents; items: every picture's own values, in the order of `images`; settings: what the solver
    resolved; notes: what it says of that, in sentences.
    """

    scheduler: str
    steps: int
    num_unet_calls: int
    budget: int
    seconds: float | None = None
    seconds_per_call: float | None = None
    clip_score: float | None = None
    clip_score_ci95: tuple[float, float] | None = None
    latent_rmse_to_reference: float | None = None
    latent_rmse_quartiles: tuple[float, float] | None = None
    relative_rmse: float | None = None
    psnr_to_reference: float | None = None
    images: list[str] = field(default_factory=list)
    items: dict[str, list[float]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Mean of `first` minus `second` over the same pictures; ci95 is None where there are too few of them.

    measure: latent_rmse (lower is nearer to the reference) or clip_score (higher fits the prompt better).
    """

    measure: str
    budget: int
    first: str
    second: str
    mean: float
    ci95: tuple[float, float] | None
    differs: bool
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How many U-Net calls a scheduler needs; None where no step count that was tried is enough, or none could be."""

    scheduler: str
    calls: int | None
    text: str


@dataclass(frozen=True, kw_only=True)
class ComparisonReport:
    """The JSON of `compare-schedulers`. env: settings and versions; files: what was written beside the pictures."""

    env: dict[str, Any]
    rows: list[ComparedRow]
    verdicts: list[Verdict]
    differences: list[Difference]
    files: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ScoredPair:
    """A picture with one of its captions. ref_clip_score: with --references."""

    image: str
    caption: str
    cosine: float
    ref_clip_score: float | None = None


@dataclass(frozen=True, kw_only=True)
class ScoreDifference:
    """--compare: clip_score of the first set minus the second, caption by caption. shown: the interval leaves zero out."""

    other: str
    n: int
    unpaired: int
    difference: float
    ci95: tuple[float, float]
    shown: bool


@dataclass(frozen=True, kw_only=True)
class DistributionDistance:
    """--fid: how far two sets of pictures lie apart in Inception's features."""

    fid: float
    kid_mean: float
    kid_sd: float
    pictures: int
    real_pictures: int


@dataclass(frozen=True, kw_only=True)
class ClipScoreReport:
    """The JSON of `clipscore`. n: pairs; clip_score, sd, ci95 and baseline_shuffled: 100 * cosine; clipscore_w25: key `clipscore_w2.5`.

    ci95: bootstrap over `resampled` (pictures, or captions where several pictures share one); truncated: captions longer than the scorer
    reads; shuffled_p: permutation test of the baseline.
    """

    clip_model: str
    preprocessing: str
    prefix: str
    n: int
    pictures: int
    captions: int
    cosine_mean: float
    clip_score: float
    clipscore_w25: float
    ref_clip_score: float | None
    sd: float
    ci95: tuple[float, float]
    resampled: str
    truncated: int
    baseline_shuffled: float | None
    shuffled_p: float | None
    compare: ScoreDifference | None
    distance: DistributionDistance | None
    items: list[ScoredPair]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Repeated timings in seconds: what is in the middle, how far they scatter, and all of them in order."""

    median: float
    mean: float
    stddev: float
    min: float
    max: float
    times: list[float]


@dataclass(frozen=True, kw_only=True)
class PeerTimes:
    """The same pictures from another implementation, drawn in turn with ours. ratio: median of their seconds over ours, run by run."""

    peer: str
    total_s: Spread
    ours_s: Spread
    ratio: float
    ratio_ci95: tuple[float, float]
    num_unet_calls: int
    max_difference: float | None
    """Largest difference of any value of the pictures, in levels of 0 to 255; None where a picture is not finite."""


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """One configuration of `bench`; the keys of `rows` in its JSON. What was not measured is None.

    encode_s, denoise_s, decode_s: medians for one batch; unet_call_ms: one evaluation with its solver step; flops: of one picture,
    by part; flops_per_image: what was executed, keys and values of the text remembered; fraction_of_peak: of the matmul peak.
    """

    dtype: str
    batch_size: int
    width: int | None
    height: int | None
    steps: int | None
    scheduler: str | None
    cfg: float | None
    num_unet_calls: int | None = None
    load_s: float | None = None
    encode_s: float | None = None
    denoise_s: float | None = None
    decode_s: float | None = None
    total_s: Spread | None = None
    unet_call_ms: float | None = None
    images_per_s: float | None = None
    params: dict[str, int] | None = None
    weight_bytes: dict[str, int] | None = None
    peak_vram_bytes: int | None = None
    peak_rss_bytes: int | None = None
    psnr_vs_fp32: float | None = None
    nonfinite: int | None = None
    flops: dict[str, int] | None = None
    flops_per_image: int | None = None
    achieved_flops_per_s: float | None = None
    fraction_of_peak: float | None = None
    cpu_share: float | None = None
    """Share of the time in which this thread had a processor: below 1 other processes were in the way. None on a GPU."""
    compare: PeerTimes | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class SpaceRow:
    """A U-Net on latents or on pixels. flops: one guided call (two samples), and one picture, decoder included; call_s: None if not run."""

    model: str
    space: str
    shape: tuple[int, int, int]
    """(C, h, w) of what is denoised."""
    params: dict[str, int] | None = None
    flops_per_call: int | None = None
    flops_per_image: int | None = None
    activation_bytes: int | None = None
    """Most that a call needs beside the weights, in fp32: the tensors alive at once, counted."""
    call_s: Spread | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingRow:
    """Optimizer steps of the U-Net's trainer on made-up latents. step_s: forward, backward, clipping, AdamW and moving average."""

    mixed_precision: str
    batch_size: int
    width: int
    height: int
    step_s: Spread | None = None
    images_per_s: float | None = None
    flops_per_step: int | None = None
    achieved_flops_per_s: float | None = None
    fraction_of_peak: float | None = None
    peak_vram_bytes: int | None = None
    peak_rss_bytes: int | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class BenchReport:
    """Everything that `bench` measured. env: versions, machine, settings shared by all rows."""

    env: dict[str, Any]
    rows: list[BenchRow]
    pixel_space: list[SpaceRow] = field(default_factory=list)
    training: list[TrainingRow] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        """The JSON document; the two tables that were not asked for are left out."""
        body = {"schema": 1, **asdict(self)}
        return {key: value for key, value in body.items() if value or key not in ("pixel_space", "training")}


Event = (
    Note
    | Progress
    | Preview
    | TrainStep
    | Saved
    | TrainDone
    | RunPlan
    | ImageRecord
    | GenerateReport
    | Verified
    | ClipScoreReport
    | ComparedRow
    | ComparisonReport
    | BenchReport
)
