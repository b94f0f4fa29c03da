"""How a picture is drawn: the options that decide its pixels."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ldmcli.config.checks import check, is_text
from ldmcli.config.option import Conflict, option, shorthand
from ldmcli.config.options import Options
from ldmcli.config.shared import CFG_NAMES, DRAWN_SEED
from ldmcli.errors import UsageError

Spacing = Literal["leading", "linspace", "trailing"]


def unguided(options: Any) -> bool:
    """--cfg turns guidance off."""
    return options.cfg is not None and options.cfg <= 1


def parse_interval(text: str) -> tuple[float, float]:
    """ "0.2,0.8" -> (0.2, 0.8). Raises UsageError."""
    low, _, high = text.partition(",")
    try:
        return float(low), float(high)
    except ValueError as error:
        raise UsageError(f"--cfg-interval {text}: LO,HI is needed, such as 0.2,0.8.") from error


def picture_size(text: str) -> dict[str, int]:
    """ "512x384" is 512 wide and 384 high, "64" is 64 by 64. Raises UsageError."""
    across, _, down = str(text).lower().partition("x")
    if not across.isdecimal() or (down and not down.isdecimal()):
        raise UsageError(f"--size {text}: WIDTHxHEIGHT is needed, such as 64x64.")
    return {"width": int(across), "height": int(down or across)}


def memory_of_side(pixels: int) -> str:
    """What a picture far too large would take."""
    if 8192 < pixels < 10**9:
        return f"A square of that side takes {pixels**2 * 12 / 2**30:,.1f} GiB before any network has run."
    return ""


SIDE: dict[str, Any] = {
    "metavar": "PIXELS", "default_is": "the model's", "multiple_of": 8, "at_least": 8, "at_most": 8192, "hint": memory_of_side,
    "per_prompt": True, "sweep": True, "recorded": True, "own": "size",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SchedulerOptions(Options, group="Sampling"):
    """One scheduler, and its steps."""

    scheduler: str | None = option(
        None, "--scheduler", "--sampler", metavar="NAME", help="See --list-schedulers.", default_is="the model's", suggest="schedulers",
        per_prompt=True, sweep=True, own="scheduler",
    )  # fmt: skip
    steps: int | None = option(
        None, "--steps", "--num-inference-steps", metavar="1..999", help="Steps of the scheduler.", default_is="the model's",
        per_prompt=True, sweep=True, own="steps",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class GuidanceOptions(Options, group="Sampling"):
    """What generate, bench and compare-schedulers share."""

    cfg: float | None = option(
        None, *CFG_NAMES, metavar="NUMBER", help="Guidance scale; 1 or less: no guidance, half the work.", default_is="the model's",
        at_least=0, per_prompt=True, sweep=True, recorded=True, own="cfg",
    )  # fmt: skip
    cfg_rescale: float = option(
        0.0, "--cfg-rescale", metavar="0..1", help="Rescale what guidance gives (Lin et al. 2023).", at_least=0, at_most=1,
        per_prompt=True, sweep=True, recorded=True, conflicts=(
            Conflict(
                lambda options: unguided(options) and bool(options.cfg_rescale),
                "--cfg-rescale corrects guidance, and with --cfg 1 or less there is none.",
            ),
        ),
    )  # fmt: skip
    spacing: Spacing | None = option(None, "--spacing", help="Which timesteps are visited.", default_is="the scheduler's", own="spacing")
    sigma_clip: bool = option(True, "--sigma-clip/--no-sigma-clip", help="Start cosine models at sigma 164.")
    seed: int | None = option(None, "-s", "--seed", help="Picture i has seed + i; -1 draws one.", default_is="drawn and printed",
                              per_prompt=True, recorded=True, **DRAWN_SEED)  # fmt: skip
    negative_prompt: str = option(
        "", "--negative-prompt", "--negative", metavar="TEXT", help="What to steer away from.", group="Prompts",
        per_prompt=True, sweep=True, recorded=True, conflicts=(
            Conflict(
                lambda options: unguided(options) and bool(options.negative_prompt.strip()),
                "--negative-prompt works through guidance, and with --cfg 1 or less there is none.",
            ),
        ),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SizeOptions(Options, group="Picture"):
    """How large a picture is."""

    width: int | None = option(None, "-W", "--width", help="Width.", **SIDE)
    height: int | None = option(None, "-H", "--height", help="Height.", **SIDE)
    size: ClassVar[Any] = shorthand(
        "--size", metavar="WIDTHxHEIGHT", help="Both; --width and --height win.", stands_for=picture_size, default_is="the model's",
        own="size",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SamplingOptions(SizeOptions, GuidanceOptions, SchedulerOptions, group="Sampling"):
    """Everything that decides what `generate` draws."""

    preset: Literal["exact", "balanced", "fast"] | None = option(
        None, "--preset", help="Scheduler, steps and guidance that cost less, as the model names them; exact: its usual ones.",
        default_is="exact", per_prompt=True, sweep=True, before=None,
    )  # fmt: skip
    cfg_interval: tuple[float, float] | None = option(
        None, "--cfg-interval", metavar="LO,HI", help="Guide only there: 1 is pure noise, 0 the end.", default_is="everywhere",
        parse=parse_interval, per_prompt=True, recorded=True, before=None, conflicts=(
            Conflict(unguided, "--cfg-interval says when to guide, and --cfg 1 or less never does."),
        ),
    )  # fmt: skip
    cfg_reuse: int | None = option(
        None, "--cfg-reuse", "--guidance-reuse", metavar="N", help="Evaluate guidance at every Nth guided call, and use it again between.",
        default_is="1", at_least=1, at_most=1000, per_prompt=True, sweep=True, recorded=True, before=None, conflicts=(
            Conflict(
                lambda options: unguided(options) and (options.cfg_reuse or 1) > 1,
                "--cfg-reuse saves a part of guidance, and with --cfg 1 or less there is none.",
            ),
        ),
    )  # fmt: skip
    weighting: Literal["none", "a1111"] = option(
        "none", "--weighting", group="Prompts", help="What brackets in a prompt mean; a1111: (word:1.3), (word) and [word] weigh.",
        per_prompt=True, sweep=True, recorded=True, before="none",
    )  # fmt: skip
    long_prompts: bool = option(
        False, "--long-prompts/--no-long-prompts", group="Prompts", help="Encode a long prompt in pieces instead of cutting it.",
        per_prompt=True, recorded=True, before=False,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        check(is_text(self.negative_prompt), "a prompt is not valid UTF-8 text.", "Check the encoding of your terminal or script.")
        low, high = self.cfg_interval or (0.0, 1.0)
        check(0 <= low < high <= 1, f"--cfg-interval {low:g},{high:g}: 0 <= LO < HI <= 1 is needed.", "1 is pure noise, 0 a clean picture.")
