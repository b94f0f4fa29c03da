"""`ldm compare-schedulers`: the same noise through every scheduler."""

from dataclasses import replace
from itertools import chain

from ldmcli.commands.builder import command
from ldmcli.commands.requests import collect_requests
from ldmcli.commands.settings import Invocation
from ldmcli.config.checks import check
from ldmcli.config.measuring import CompareConfig
from ldmcli.config.shared import ReportOptions, TypedPrompts
from ldmcli.console import output
from ldmcli.diffusion import catalogue
from ldmcli.engine.compare.plan import plan_cells, plan_folder
from ldmcli.engine.jobs import changed
from ldmcli.models.source import find_source


@command(
    "compare-schedulers", TypedPrompts, CompareConfig, ReportOptions,
    examples=('ldm compare-schedulers "a dog" "a cat" --seeds 4', 'ldm compare-schedulers "a dog" --schedulers ddim,unipc --equal-nfe'),
)  # fmt: skip
def compare_schedulers(invocation: Invocation) -> None:
    """Draw each PROMPT from the same noise by every scheduler, and show how far each is from a converged walk.

    The folder gets grid.png, results.json, results.csv and report.html, one page that opens offline.
    """
    typed, report, config = invocation.options(TypedPrompts), invocation.options(ReportOptions), invocation.options(CompareConfig)
    names = tuple(catalogue.resolve(name).name for name in config.schedulers)
    config = replace(config, schedulers=names, steps=tuple(sorted(config.steps)))
    invocation.refuse_conflicts(config, report)
    drawing = config.drawing
    changed(drawing, {"scheduler": "ddim", "steps": config.reference_steps})
    requests, unusable, notes = collect_requests([*typed.prompts, *typed.more_prompts], typed.prompts_file, [], drawing)
    for request in requests:
        check(
            request.seed is None and request.config in (drawing, changed(drawing, {"prompts": (request.prompt,)})),
            f"line {request.line} of the prompts has options of its own; a comparison gives the same to all.",
            "Name them on the command line.",
        )
    source = find_source(config)
    invocation.note_model(source.path)
    plan_cells(config)  # mistakes in the names, the step counts and the folder show here
    plan_folder(config)

    from ldmcli.engine.compare.run import run_comparison

    events = run_comparison(config, source, [request.prompt for request in requests], unusable)
    output.show_comparison(chain(notes, events), as_json=report.as_json, quiet=report.quiet)
