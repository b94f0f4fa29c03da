"""Measure drawing: every configuration is drawn as `generate` draws it, several times, and compared with what the machine could do."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ldmcli.config.generation import GenerateConfig
from ldmcli.config.measuring import BenchConfig
from ldmcli.engine.bench.cells import Bench
from ldmcli.engine.bench.machine import describe_machine
from ldmcli.engine.bench.plan import plan_cells
from ldmcli.errors import PartlyFailed
from ldmcli.models.source import Source
from ldmcli.prompts.syntax import syntax_note
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.records.words import counted
from ldmcli.runtime.device import select_runtime, set_threads
from ldmcli.runtime.room import check_room


def run_bench(config: BenchConfig, source: Source) -> Iterator[Event]:
    """Yield notes and progress, and the report last. Files that were asked for are written anew after every configuration.

    Raises PartlyFailed after the report when some configurations could not be measured, or what stopped the first when none could.
    """
    cells = plan_cells(config)
    for file in (config.export_json, config.export_csv, config.export_markdown, config.chart):
        if file is not None:
            check_room(file.parent)
    if foreign := syntax_note([(config.prompt, "none")], instead=False):
        yield Note(foreign, warning=True)
    bench = Bench(config, source, set_threads(), len(cells))
    dtype_names: dict[GenerateConfig, Any] = {cell: select_runtime(cell.device, cell.dtype).dtype_name for cell in cells}
    runtime = select_runtime(config.device, "fp32")
    bench.env |= describe_machine(runtime.device, bench.threads)
    yield Note(f"device {runtime.device}: {runtime.device_reason}; {counted(bench.threads, 'thread')}")
    # fp32 first: the others are compared with its pictures
    for dtype in sorted(dict.fromkeys(dtype_names.values()), key=lambda name: name != "fp32"):
        if dtype != "fp32":
            yield from bench.draw_references(cells)
        yield from bench.measure(dtype, [replace(cell, dtype=dtype) for cell in cells if dtype_names[cell] == dtype])
    yield from bench.extras()
    report = bench.save()
    yield report
    outcomes = [row.error for row in bench.rows] + [row.error for row in bench.spaces] + [row.error for row in bench.training]
    errors = [error for error in outcomes if error]
    if errors and len(errors) < len(outcomes):
        raise PartlyFailed(f"{len(errors)} of {len(outcomes)} could not be measured: {errors[0]}")
    if bench.first_error:
        raise bench.first_error
