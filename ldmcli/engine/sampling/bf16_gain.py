"""What bf16 would bring where `auto` stays fp32: measured before, for a model and a kind of processor, and never timed at run time."""

from collections.abc import Iterator
from typing import NamedTuple

from ldmcli.config.generation import GenerateConfig
from ldmcli.models.source import BUNDLED, Source
from ldmcli.records.notes import Note
from ldmcli.runtime.device import Runtime, cpu_bf16_unit

WORTH_SAYING = 1.1
"""Times as fast."""
MEASURED_WITH = "23b814716a8e2503f99c735184bc3007e30de0a8b42ceaa9fe901d330dce77e8"
"""sha256 of the bundled U-Net that the rows are of. Another one has to be measured anew."""


class Gain(NamedTuple):
    """From so many pictures at once on, by that unit. psnr: of the pictures to those in fp32, dB."""

    unit: str
    pictures: int
    factor: float
    psnr: float


GAINS = (
    Gain("amx_bf16", 1, 0.90, 53.0),
    Gain("amx_bf16", 4, 1.13, 53.0),
    Gain("amx_bf16", 8, 1.51, 52.9),
    Gain("avx512_bf16", 1, 0.71, 52.8),
    Gain("avx512_bf16", 4, 0.76, 53.4),
    Gain("avx512_bf16", 8, 0.77, 52.9),
)
"""`ldm bench --dtype fp32,bf16 --batch-size 1,4,8 --runs 5 --warmup 1`, seconds of fp32 over those of bf16, medians of three such commands.

Xeon with AMX: two threads, nothing beside it (the three commands 0.76 to 0.90, 0.85 to 1.42, 1.22 to 1.77); the second unit, with
ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16, one thread beside other processes. fp32 runs by the inference copies, which are of fp32 alone: with few
pictures they gain more than bf16 does.
"""


def gain_of(unit: str | None, pictures: int) -> Gain | None:
    """The row of the most pictures that are no more than these; None where there is none."""
    rows = [row for row in GAINS if row.unit == unit and row.pictures <= pictures]
    return max(rows, key=lambda row: row.pictures, default=None)


def bf16_note(config: GenerateConfig, source: Source, runtime: Runtime, pictures: int) -> Iterator[Note]:
    """A line where bf16 would help and was not thought of. pictures: at once."""
    if config.dtype != "auto" or config.backend != "torch" or not config.fuse or runtime.device.type != "cpu":
        return
    if source.path != BUNDLED or source.vae != BUNDLED or source.loras or config.width or config.height:  # nothing else was measured
        return
    gain = gain_of(cpu_bf16_unit(), pictures)
    if gain and gain.factor > WORTH_SAYING:
        yield Note(f"bf16 would be {gain.factor:.1f} times as fast here, the pictures {gain.psnr:.0f} dB (PSNR) from these: --dtype bf16")
