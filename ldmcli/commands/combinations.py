"""Options of `generate` that cannot do anything together, refused before anything is loaded."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from ldmcli.errors import UsageError

Given = Mapping[str, Any]
"""The options that were typed, by the names of GenerateConfig, and `from_image`, `as_json`, `quiet` and `sweep` (the names swept)."""


def _unguided(given: Given) -> bool:
    return given.get("cfg") is not None and given["cfg"] <= 1 and "cfg" not in given["sweep"]


SENSELESS: tuple[tuple[Callable[[Given], bool], str, str], ...] = (
    (
        lambda given: _unguided(given) and given.get("cfg_interval") is not None,
        "--cfg-interval says when to guide, and --cfg 1 or less never does.", "Leave out one of the two.",
    ),
    (
        lambda given: _unguided(given) and bool(given.get("cfg_rescale")),
        "--cfg-rescale corrects guidance, and with --cfg 1 or less there is none.", "Leave out one of the two.",
    ),
    (
        lambda given: _unguided(given) and bool(given.get("negative_prompt", "").strip()),
        "--negative-prompt works through guidance, and with --cfg 1 or less there is none.", "Leave out one of the two.",
    ),
    (
        lambda given: "resample" in given and given.get("upscale", 1) == 1 and not given["from_image"],
        "--resample says how --upscale enlarges, and nothing is enlarged.", "Add --upscale 4, or leave it out.",
    ),
    (
        lambda given: bool(given.get("overwrite")) and bool(given.get("resume")),
        "--resume keeps what is finished and --overwrite replaces it.", "Leave out one of the two.",
    ),
    (
        lambda given: bool(given.get("measure")) and given["quiet"] and not given["as_json"],
        "--quiet hides what --measure prints.", "Leave out one of the two, or add --json.",
    ),
    (
        lambda given: bool(given.get("low_memory")) and bool(given.get("preview")),
        "--preview decodes while the U-Net runs, and --low-memory holds one of the two.", "Leave out one of the two; see --progressive.",
    ),
    (
        lambda given: bool(given.get("low_memory")) and bool(given.get("measure")),
        "--measure loads what is exact beside what is not, and --low-memory holds one network.", "Leave out one of the two.",
    ),
    (
        lambda given: bool(given.get("low_memory")) and given.get("trace") is not None,
        "--trace looks at all networks, and --low-memory holds one.", "Leave out one of the two.",
    ),
)  # fmt: skip


def refuse_senseless(given: Mapping[str, Any], *, from_image: bool, as_json: bool, quiet: bool, sweep: Collection[str]) -> None:
    """Raise UsageError for options that were typed side by side. What a file, a sweep or a picture's record sets is not looked at here."""
    swept = {text.partition("=")[0].strip().replace("-", "_") for text in sweep}
    whole = {**given, "from_image": from_image, "as_json": as_json, "quiet": quiet, "sweep": swept}
    for applies, message, hint in SENSELESS:
        if applies(whole):
            raise UsageError(message, hint=hint)
    for name in sorted(swept & given.keys()):
        option = name.replace("_", "-")
        raise UsageError(f"--{option} is given beside --sweep {option}=, which would replace it.", hint="Leave out one of the two.")
