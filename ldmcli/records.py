"""What a run reports back: plain numbers, paths and sentences, no tensors. console/ draws them, --json dumps them, tests read them."""

from dataclasses import dataclass, field
from pathlib import Path


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
class ImageRecord:
    """One picture that was made; the keys of `images` in the JSON of `generate`. progress: what --progressive wrote.

    guided_calls: with --cfg-interval, how many of num_unet_calls evaluated the picture twice, with the prompt and without.
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
    """The JSON of `generate`. timing: seconds of each stage; memory: bytes; measured: None without --measure."""

    model: str
    device: str
    dtype: str
    images: list[ImageRecord]
    failed: list[FailedItem]
    timing: dict[str, float]
    memory: dict[str, int | None]
    measured: list[Measured] | None = None


Event = Note | Progress | TrainStep | Saved | TrainDone | ImageRecord | GenerateReport | Verified
