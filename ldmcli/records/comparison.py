"""What `ldm compare-schedulers` reports. Plain values, no tensors."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ldmcli.records.pictures import FailedItem


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
    """The JSON of `compare-schedulers`. env: settings and versions; failed: lines of a prompts file; files: what was written beside the
    pictures."""

    env: dict[str, Any]
    rows: list[ComparedRow]
    verdicts: list[Verdict]
    differences: list[Difference]
    failed: list[FailedItem] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
