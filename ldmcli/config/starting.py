"""What a picture starts from, where that is not the noise of its own seed alone. Knows no torch."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ldmcli.config.checks import MAX_SEED, check, is_text
from ldmcli.config.option import Conflict, option
from ldmcli.config.options import Options, declared
from ldmcli.config.shared import SEED
from ldmcli.errors import NotFound, UsageError

STRENGTH = 0.6
"""Where nobody says how far to go from the picture."""


def existing_picture(path: Path) -> Path:
    """The path with ~ filled in. Raises NotFound."""
    found = Path(os.path.expanduser(path))
    if not found.is_file():
        raise NotFound(f"{path}: no such picture.")
    return found


def parse_variation(text: str) -> tuple[int, float]:
    """ "7:0.2" -> (7, 0.2): a seed, and how far to go towards its noise. Raises UsageError."""
    seed, _, amount = text.partition(":")
    try:
        found = int(seed), float(amount)
    except ValueError as error:
        raise UsageError(f"--variation {text}: SEED:AMOUNT is needed, such as 7:0.2.") from error
    check(0 <= found[0] <= MAX_SEED, f"--variation {text}: the seed must be between 0 and 2**64 - 1.")
    check(0 <= found[1] <= 1, f"--variation {text}: the amount must be between 0 and 1.")
    return found


def no_noise(options: Any) -> bool:
    """The picture goes through the VAE and back, and nothing is drawn."""
    return options.strength == 0


NOTHING_DRAWN = "--strength 0 draws nothing: the picture goes through the VAE and back."
ONE_END = Conflict(
    lambda options: options.frames is None and options.share is None,
    "--seed-to and --prompt-to say where the frames end, and no frames are asked for.", "Add --frames 8.", of_each=True,
)  # fmt: skip
IDLE = Conflict(no_noise, NOTHING_DRAWN, of_each=True)
NO_PICTURE = "Add --init-image PICTURE."


@dataclass(frozen=True, kw_only=True)
class StartOptions(Options, group="Start"):
    """A picture to start from, and noise between that of two seeds."""

    init_image: Path | None = option(
        None, "--init-image", metavar="PICTURE", help="Start from this picture under noise.", convert=existing_picture,
        per_prompt=True, how=True,
    )  # fmt: skip
    strength: float | None = option(
        None, "--strength", metavar="0..1", default_is=f"{STRENGTH:g}", at_least=0, at_most=1, per_prompt=True, sweep=True, recorded=True,
        before=None, help="How far to go from --init-image; 0 is the VAE alone and prints its PSNR.", conflicts=(
            Conflict(
                lambda options: options.init_image is None, "--strength says how far to go from --init-image, and there is none.",
                NO_PICTURE, of_each=True,
            ),
        ),
    )  # fmt: skip
    mask: Path | None = option(
        None, "--mask", metavar="PICTURE", help="White is redrawn, black stays.", convert=existing_picture, per_prompt=True, how=True,
        conflicts=(
            Conflict(
                lambda options: options.init_image is None, "--mask says which part of --init-image is redrawn, and there is none.",
                NO_PICTURE, of_each=True,
            ),
            IDLE,
        ),
    )  # fmt: skip
    variation: str | None = option(
        None, "--variation", metavar="SEED:AMOUNT", per_prompt=True, sweep=True, recorded=True, before=None,
        help="Noise that lies so far towards that of another seed; picture i takes SEED + i.", conflicts=(
            IDLE,
            Conflict(
                lambda options: options.seed_to is not None, "--variation and --seed-to both say which noise to go to.", of_each=True
            ),
        ),
    )  # fmt: skip
    seed_to: int | None = option(
        None, "--seed-to", help="The last of --frames is the picture of this seed.", per_prompt=True, recorded=True, before=None,
        conflicts=(IDLE, ONE_END), **SEED,
    )  # fmt: skip
    prompt_to: str | None = option(
        None, "--prompt-to", metavar="TEXT", help="The last of --frames has this prompt.", per_prompt=True, recorded=True, before=None,
        conflicts=(IDLE, ONE_END),
    )  # fmt: skip
    frames: int | None = option(
        None, "--frames", metavar="K", help="Draw K pictures on the way to --seed-to, --prompt-to or both.", at_least=2, at_most=10_000,
        per_prompt=True, conflicts=(
            Conflict(
                lambda options: options.seed_to is None and options.prompt_to is None,
                "--frames go from one picture to another, and only one is given.", "Add --seed-to N or --prompt-to TEXT.", of_each=True,
            ),
            Conflict(
                lambda options: options.num_images > 1, "--frames draws the way from one picture to another, and -n asks for several.",
                of_each=True,
            ),
        ),
    )  # fmt: skip
    frames_as: Literal["strip", "gif"] | None = option(None, "--frames-as", help="Also write the frames of a prompt as one file.")
    share: float | None = option(
        None, help="Of one frame: where it lies between both ends.", at_least=0, at_most=1, recorded=True, before=None
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variation is not None:
            parse_variation(self.variation)
        check(is_text(self.prompt_to or ""), "a prompt is not valid UTF-8 text.", "Check the encoding of your terminal or script.")


OF_A_JOB: dict[str, Any] = {"variation": None, "seed_to": None, "prompt_to": None, "frames": None, "frames_as": None, "share": None}
"""What one picture of a batch may have and its neighbour not."""


def refuse_senseless(config: Any, *, line: Collection[str] | None = None) -> None:
    """Raise UsageError for an option of these that has nothing to do beside the others. config: a GenerateConfig.

    Asked of every prompt's own settings: a line of a prompts file may add what the command line lacks.
    line: what the line itself says, where it can say so; a strength for all lines does no harm to those without a picture.
    """
    idle = {"strength"} if line is not None and "strength" not in line else set()
    for name, each in declared(StartOptions).items():
        if getattr(config, name) is not None and name not in idle:
            for conflict in each.conflicts:
                if conflict.when(config):
                    raise UsageError(conflict.message, hint=conflict.hint)
