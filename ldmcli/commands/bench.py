"""`ldm bench`: how fast, how large, how exact."""

from ldmcli.commands.builder import command
from ldmcli.commands.settings import Invocation
from ldmcli.config.measuring import BenchConfig
from ldmcli.config.shared import ReportOptions
from ldmcli.engine.bench.plan import plan_cells
from ldmcli.models.source import find_source


@command(
    "bench", BenchConfig, ReportOptions,
    examples=("ldm bench --dtype fp32,bf16 --batch-size 1,8", "ldm bench -m runs/train-unet-1 --compare diffusers --export-markdown b.md"),
)  # fmt: skip
def bench(invocation: Invocation) -> None:
    """Draw the same pictures again and again, and report time, memory and exactness, beside what the machine could do.

    --dtype, --batch-size, --size, --steps and --scheduler take lists; every combination is measured, and one that fails is a row too.
    """
    config, report = invocation.options(BenchConfig), invocation.options(ReportOptions)
    plan_cells(config)  # every value is looked at before anything is loaded
    source = find_source(config)
    invocation.note_model(source.path)

    from ldmcli.console.tables import show_bench
    from ldmcli.engine.bench.run import run_bench

    show_bench(run_bench(config, source), as_json=report.as_json, quiet=report.quiet)
