"""What `ldm clipscore` reports. Plain values, no tensors."""

from dataclasses import dataclass


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
