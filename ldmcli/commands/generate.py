"""`ldm generate`: prompts to pictures."""

import os
import sys
from dataclasses import replace
from itertools import chain
from pathlib import Path

from ldmcli.commands.builder import command
from ldmcli.commands.from_image import replay
from ldmcli.commands.requests import collect_requests, generate_config
from ldmcli.commands.settings import Invocation
from ldmcli.config.generation import GenerateConfig, ListOptions, RequestOptions
from ldmcli.config.options import declared
from ldmcli.config.shared import ReportOptions
from ldmcli.console import output
from ldmcli.console.merge_report import show_merged
from ldmcli.console.prompt_input import ask_prompt, on_terminal
from ldmcli.diffusion import catalogue
from ldmcli.engine.jobs import check_trace, swept_names
from ldmcli.errors import UsageError
from ldmcli.models import listing
from ldmcli.models.examples import example_prompts
from ldmcli.models.source import find_source, holds_vae_alone
from ldmcli.outputs.naming import find_target
from ldmcli.runtime.launcher import process_count


@command(
    "generate", RequestOptions, GenerateConfig, ListOptions, ReportOptions,
    examples=('ldm generate "a dog in a park" -n 4 -s 7', "ldm generate -f prompts.txt -m runs/train-unet-1 --scheduler unipc -o out/"),
)  # fmt: skip
def generate(invocation: Invocation) -> None:
    """Draw each PROMPT and print the paths of the pictures.

    The same seed gives the same picture, whatever the batch size; the settings stand inside the file and --from-image draws it again.
    """
    lists, report = invocation.options(ListOptions), invocation.options(ReportOptions)
    if lists.list_schedulers:
        return output.show_schedulers(catalogue.SCHEDULERS, as_json=report.as_json)
    if lists.list_models:
        return output.show_models(listing.list_models(), as_json=report.as_json, quiet=report.quiet)
    request = invocation.options(RequestOptions)
    if invocation.given(GenerateConfig).get("preview"):
        check_preview(quiet=report.quiet)
    typed = [*request.prompts, *request.more_prompts]
    if request.merge:
        return merge(request, invocation, report)
    if request.from_image is not None:
        if typed or request.prompts_file is not None or request.sweep:
            raise UsageError("--from-image draws that picture's own prompt.", hint="Leave out the prompts, --prompts-file and --sweep.")
        return replay(request.from_image, invocation, report, verify=request.verify)
    if request.verify:
        raise UsageError("--verify goes with --from-image PICTURE.")
    config = checked(invocation, request, report)
    invocation.remote.check_part(config.shard)
    asked = process_count() == 1 and not (report.as_json or report.quiet)
    if not typed and request.prompts_file is None and asked and on_terminal():
        typed = [ask_prompt(example_prompts(find_source(config).path), invocation.given(GenerateConfig).get("model"))]
    requests, unusable, notes = collect_requests(typed, request.prompts_file, request.sweep, config)
    check_trace(config, requests)
    find_target(config, requests.pictures)
    config = with_unet(config)
    source = find_source(config)
    invocation.note_model(source.path)
    if not unusable and process_count() == 1:
        from ldmcli.engine.sampling.start_files import check_start

        check_start(requests)  # before torch is loaded

    from ldmcli.engine.generate.run import run_generate

    drawing = invocation.remote.sent(run_generate(config, source, requests, unusable))
    output.show_generated(chain(notes, drawing), as_json=report.as_json, quiet=report.quiet)


def merge(request: RequestOptions, invocation: Invocation, report: ReportOptions) -> None:
    """--merge: a shell makes `out-*/` several words, of which all but the first look like prompts. Raises UsageError."""
    from ldmcli.engine.generate.merging import merge_folders

    others = sorted({*invocation.typed} - {"merge", "prompts", "output", "as_json", "quiet"})
    if others:
        raise UsageError(f"--merge draws nothing; {', '.join(others)} cannot be given.", hint="Try: ldm generate --merge out-*/ -o out/")
    if "output" not in invocation.typed:
        raise UsageError("--merge needs a folder to write to.", hint="Name it: -o out/")
    folders = [*request.merge, *map(Path, request.prompts)]
    merging = invocation.remote.sent(merge_folders(folders, invocation.given(GenerateConfig)["output"]))
    show_merged(merging, as_json=report.as_json, quiet=report.quiet)


def checked(invocation: Invocation, request: RequestOptions, report: ReportOptions) -> GenerateConfig:
    """The settings that all pictures share. Raises UsageError for what makes no sense side by side."""
    swept = swept_names(request.sweep)
    for name in sorted(swept & invocation.typed.keys()):
        option = declared(GenerateConfig)[name].name
        raise UsageError(
            f"{option} is given beside --sweep {option.lstrip('-')}=, which would replace it.", hint="Leave out one of the two."
        )
    config = generate_config(invocation.given(GenerateConfig))
    unset = {name: declared(GenerateConfig)[name].default for name in swept}
    invocation.refuse_conflicts(replace(config, **unset), report)
    return config


def with_unet(config: GenerateConfig) -> GenerateConfig:
    """A run of train-vae will do for --strength 0: its VAE in the bundled model, whose U-Net is not asked anything."""
    if config.strength != 0 or config.vae is not None or not holds_vae_alone(config.model):
        return config
    return replace(config, model="bundled", vae=config.model)


def check_preview(*, quiet: bool) -> None:
    """Raises UsageError where there is no terminal to draw on, and to ask what it can show."""
    if quiet:
        raise UsageError("--preview and --quiet do not go together.")
    if not on_terminal():
        raise UsageError("--preview needs a terminal.", hint="Leave it out where input or output is a file or a pipe; see --progressive.")
    if not os.get_terminal_size(sys.stdout.fileno()).columns:
        raise UsageError("--preview needs a terminal that knows its size.", hint="Try: stty rows 24 cols 80")
