"""What a run reports back: plain numbers, paths and sentences, no tensors. console/ draws them, --json dumps them, tests read them."""

from dataclasses import dataclass, field
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
class ImageRecord:
    """One picture that was made; the keys of `images` in the JSON of `generate`."""

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


@dataclass(frozen=True, kw_only=True)
class GenerateReport:
    """The JSON of `generate`. timing: seconds of each stage; memory: bytes."""

    model: str
    device: str
    dtype: str
    images: list[ImageRecord]
    failed: list[dict[str, Any]]
    timing: dict[str, float]
    memory: dict[str, int | None]


Event = Note | Progress | TrainStep | Saved | TrainDone | ImageRecord | GenerateReport
