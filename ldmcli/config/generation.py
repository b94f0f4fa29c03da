"""What `ldm generate` was asked to do, checked on birth. Knows no torch."""

import math
from dataclasses import dataclass
from pathlib import Path

from ldmcli.config.checks import MAX_SEED, check, is_text
from ldmcli.errors import UsageError

TILED_ABOVE = 1024 * 1024
"""Pixels of a picture beyond which it is decoded in tiles unless --no-tiled-decode. A fixed number: what is free must not decide pixels."""


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
    fuse: bool = True
    """Draw by inference copies of the networks where there are any: faster, and at most 1 of 255 away."""
    strict: bool = False

    def __post_init__(self) -> None:
        for text in (*self.prompts, self.negative_prompt):
            check(is_text(text), "a prompt is not valid UTF-8 text.", "Check the encoding of your terminal or script.")
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


def parse_interval(text: str) -> tuple[float, float]:
    """ "0.2,0.8" -> (0.2, 0.8). Raises UsageError."""
    low, _, high = text.partition(",")
    try:
        return float(low), float(high)
    except ValueError as error:
        raise UsageError(f"--cfg-interval {text}: LO,HI is needed, such as 0.2,0.8.") from error
