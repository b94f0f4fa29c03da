"""`ldm generate --from-image PICTURE`."""

from pathlib import Path
from typing import Any

from ldmcli.commands.requests import generate_config
from ldmcli.commands.settings import Invocation
from ldmcli.config.generation import GenerateConfig
from ldmcli.config.options import declared
from ldmcli.config.shared import ReportOptions
from ldmcli.config.starting import refuse_senseless
from ldmcli.console import output
from ldmcli.engine.jobs import changed, check_trace
from ldmcli.engine.requests import Request, RequestList
from ldmcli.errors import UsageError
from ldmcli.outputs.naming import find_target
from ldmcli.runtime.launcher import process_count


def replay(path: Path, invocation: Invocation, report: ReportOptions, *, verify: bool) -> None:
    """--from-image: what the picture records, with the options that were typed on top. LDM_ variables and --config say where and how."""
    options = declared(GenerateConfig)
    typed = invocation.given(GenerateConfig, "flag")
    if verify and (others := [name for name in sorted(typed) if not options[name].how]):
        raise UsageError(
            f"--verify draws what the picture records; {', '.join(others)} cannot be given.",
            hint="Leave out --verify to draw a variant.",
        )
    if "preset" in typed:
        raise UsageError(
            "--preset chooses scheduler and steps, and --from-image finds them in the picture.", hint="Leave out one of the two."
        )
    if verify and process_count() > 1:
        raise UsageError("--verify compares one picture.", hint="Start it without the launcher.")
    from ldmcli.engine.generate.picture_record import FILES, check_size, read_record
    from ldmcli.engine.generate.replay_source import find_files, find_recorded

    where = {name: value for name, value in invocation.given(GenerateConfig, "file", "environment").items() if options[name].how}
    elsewhere = {name: value for name, value in where.items() if name not in FILES}
    recorded = read_record(path)
    if verify and recorded.lossy:
        raise UsageError(
            f"--verify {path}: a JPEG holds rounded pixels, which are never those that were drawn.",
            hint="Only .png and .webp can be compared; without --verify it is drawn again.",
        )
    if verify:
        check_size(path, recorded)
    if verify and (others := [name for name in FILES if name in typed and name not in recorded.files]):
        raise UsageError(f"--verify draws what the picture records; it records no {others[0]}.", hint="Leave out one of the two.")
    stated = _stated(recorded.options, typed)
    files = find_files(path, recorded, typed)
    config = generate_config({"batch_size": 1, **elsewhere, "model": recorded.model, **stated, **files, **typed})
    invocation.refuse_conflicts(config, report)
    refuse_senseless(config)
    if not verify:
        find_target(config, config.pictures)
    source = find_recorded(path, recorded, config, model_given="model" in typed)
    request = Request(recorded.prompt, changed(config, {"prompts": (recorded.prompt,)}))
    check_trace(config, RequestList([request]))

    from ldmcli.engine.generate.replay import replay_picture, verify_picture

    if verify:
        return output.show_verified(verify_picture(path, recorded, request, source), as_json=report.as_json, quiet=report.quiet)
    drawing = invocation.remote.sent(replay_picture(path, recorded, config, request, source))
    output.show_generated(drawing, as_json=report.as_json, quiet=report.quiet)


def _stated(options: dict[str, Any], typed: dict[str, Any]) -> dict[str, Any]:
    """What the picture says, without what was worked out for something that was typed otherwise."""
    left_out: set[str] = set()
    if "scheduler" in typed:
        left_out |= {"spacing", "sigma_clip"}
    if "dtype" in typed:
        left_out.add("vae_dtype")
    stated = {key: value for key, value in options.items() if key not in left_out}
    return {**stated, "share": None} if "frames" in typed else stated
