"""`ldm generate --from-image PICTURE`."""

from pathlib import Path
from typing import Any

from ldmcli.commands.asked import find_source, settled
from ldmcli.console import output
from ldmcli.engine.jobs import Request, changed, check_trace
from ldmcli.engine.naming import find_target
from ldmcli.errors import NotFound, UsageError

REPLAYABLE = {"model", "vae", "tokenizer", "loras", "allow_pickle", "device", "dtype", "vae_dtype", "batch_size", "low_memory", "fuse"}
"""What may be given beside --verify: where and how, never what is drawn."""


def replay(path: Path, given: dict[str, Any], *, verify: bool, as_json: bool, quiet: bool) -> None:
    """--from-image: what the picture records, with the options that were given on top."""
    if verify and given.keys() - REPLAYABLE:
        others = ", ".join(sorted(given.keys() - REPLAYABLE))
        raise UsageError(
            f"--verify draws what the picture records; {others} cannot be given.", hint="Leave out --verify to draw a variant."
        )

    from ldmcli.engine.recorded import read_record

    recorded = read_record(path)
    if verify and recorded.lossy:
        raise UsageError(
            f"--verify {path}: a JPEG holds rounded pixels, which are never those that were drawn.",
            hint="Only .png and .webp can be compared; without --verify it is drawn again.",
        )
    options = recorded.options
    if "scheduler" in given:  # these were resolved for the other one
        options = {key: value for key, value in options.items() if key not in ("spacing", "sigma_clip")}
    if "dtype" in given:  # likewise
        options = {key: value for key, value in options.items() if key != "vae_dtype"}
    config = settled({"model": recorded.model, "batch_size": 1, **options, **given})
    if "model" not in given and Path(recorded.model).name != recorded.model:
        raise NotFound(f"{path} names the model {recorded.model!r}, which is not looked up.", hint="Name it with -m.")
    if not verify:
        find_target(config, config.num_images)
    source = find_source(config)
    request = Request(recorded.prompt, changed(config, {"prompts": (recorded.prompt,)}))
    check_trace(config, [request])

    from ldmcli.engine.replay import replay_picture, verify_picture

    if verify:
        return output.show_verified(verify_picture(path, recorded, request, source), as_json=as_json, quiet=quiet)
    output.show_generated(replay_picture(path, recorded, config, request, source), as_json=as_json, quiet=quiet)
