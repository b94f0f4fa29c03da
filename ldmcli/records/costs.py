"""What `ldm bench` reports. Plain values, no tensors."""

from dataclasses import asdict, dataclass, field
from typing import Any


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
    precision: str
    """What it computed in, in words."""
    total_s: Spread
    ours_s: Spread
    ratio: float
    ratio_ci95: tuple[float, float]
    num_unet_calls: int | None
    """None where that cannot be looked at."""
    growth_bytes: int
    """Most memory that was held beyond what there was before it was opened, while it drew first; as the row's."""
    max_difference: float | None
    """Largest difference of any value of the pictures, in levels of 0 to 255; None where a picture is not finite."""
    psnr: float | None
    """Of the pictures to ours, in dB, mean."""


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
    growth_bytes: int | None = None
    """Most memory that was held beyond what there was before the model was opened: of the GPU where there is one, else of the process."""
    psnr_vs_fp32: float | None = None
    nonfinite: int | None = None
    flops: dict[str, int] | None = None
    flops_per_image: int | None = None
    achieved_flops_per_s: float | None = None
    fraction_of_peak: float | None = None
    cpu_share: float | None = None
    """Share of the time in which this thread had a processor: below 1 other processes were in the way. None on a GPU."""
    compare: list[PeerTimes] | None = None
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
