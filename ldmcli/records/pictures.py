"""What `ldm generate` reports. Plain values and PNG bytes, no tensors."""

from dataclasses import dataclass

PICTURE_SCHEMA = 1
"""Of what a picture records, and of the promise that goes with it: a release that draws a record of before more than 1/255 away (what
tests/golden asks) raises it, says so in the changelog and in SCHEMA_CHANGES; tests/golden is then made anew."""

SCHEMA_CHANGES: dict[int, str] = {}
"""For each number above 1, in a sentence, what is drawn otherwise than under the number before."""


@dataclass(frozen=True)
class Preview:
    """A picture on its way, or as it was finished. png: the bytes of a file."""

    png: bytes
    finished: bool = False


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """One picture that was made; the keys of `images` in the JSON of `generate`. progress: what --progressive wrote.

    guided_calls: with --cfg-interval or --cfg-reuse, how many of num_unet_calls evaluated the picture twice, with the prompt and without.
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


@dataclass(frozen=True)
class RoundTrip:
    """A picture that only went through the VAE and back, and its PSNR in dB against the picture that went in; of `round_trips`."""

    image: str
    psnr: float


@dataclass(frozen=True, kw_only=True)
class FailedItem:
    """A picture, or a line of a prompts file, that nothing came of; an entry of `failed`. line: from 1, None without a file."""

    line: int | None
    prompt: str | None
    error: str
    exit_code: int


@dataclass(frozen=True)
class Otherwise:
    """A condition that changed since a picture was drawn. then: None where its record does not say."""

    what: str
    then: str | None
    now: str | None


@dataclass(frozen=True)
class Verified:
    """A picture was drawn again. max_difference: of any channel, 0 to 255; None when the sizes differ.

    differs_in: the conditions that are not those of then, the likeliest to change pixels first.
    """

    image: str
    max_difference: int | None
    differs_in: tuple[Otherwise, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GenerateReport:
    """The JSON of `generate`. timing: seconds by stage; memory: bytes; grid, index, trace: that option's file; measured: of --measure.

    frames: what --frames-as wrote, a file for each prompt; round_trips: of --strength 0.
    """

    model: str
    device: str
    dtype: str
    images: list[ImageRecord]
    failed: list[FailedItem]
    timing: dict[str, float]
    memory: dict[str, int | None]
    grid: str | None = None
    index: str | None = None
    trace: str | None = None
    measured: list[Measured] | None = None
    frames: list[str] | None = None
    round_trips: list[RoundTrip] | None = None
