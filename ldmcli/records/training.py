"""What a training run reports. Plain values, no tensors."""

from dataclasses import dataclass, field
from pathlib import Path

from ldmcli.records.notes import Memory


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
class TrainDone:
    """The run has ended. figures: what it measured at the end."""

    run: Path
    model: Path
    step: int
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What a training run would need: the answer to --dry-run. Sizes in bytes, times in seconds, of one step, validation and sample sheet.

    tried, bad: pictures that were really decoded, and how many of them are unusable; problems: what the data set lacks;
    processes: that would train together, pictures_per_step: of all of them; memory is of each.
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
    validate_s: float
    sample_s: float
    eta_s: float
    peak_rss_bytes: int
    peak_vram_bytes: int | None
    disk_bytes: int
    disk_free_bytes: int
    processes: int = 1
    pictures_per_step: int = 0
