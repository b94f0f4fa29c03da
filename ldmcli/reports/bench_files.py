"""What `bench` leaves behind: JSON, CSV, Markdown and a chart."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ldmcli.config.measuring import BenchConfig
from ldmcli.records.costs import BenchReport, BenchRow
from ldmcli.reports.bench_chart import draw_chart
from ldmcli.reports.csv_cells import safe_row
from ldmcli.runtime.files import write_file


def save_bench(report: BenchReport, config: BenchConfig) -> None:
    """Write the files that the config names, over what an earlier row left there. Raises LdmError."""
    texts = {
        config.export_json: lambda: json.dumps(report.body(), indent=1) + "\n",
        config.export_csv: lambda: as_csv(report.rows),
        config.export_markdown: lambda: as_markdown(report.rows),
    }
    for target, text in texts.items():
        if target is not None:
            write_file(target, text())
    if config.chart is not None and any(row.total_s for row in report.rows):
        write_file(config.chart, draw_chart(report))


def as_csv(rows: list[BenchRow]) -> str:
    """One line per row; nested keys are joined with a dot, the single times with spaces."""
    lines = [dict(_flat(asdict(row))) for row in rows]
    columns = list(dict.fromkeys(key for line in lines for key in line))
    # a row that failed has `total_s` itself, empty, where the others have `total_s.median` and so on
    columns = [key for key in columns if not any(other.startswith(f"{key}.") for other in columns)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(map(safe_row, lines))
    return text.getvalue()


def _flat(body: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in body.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", " ".join(map(str, value)) if isinstance(value, list | tuple) else value


def as_markdown(rows: list[BenchRow]) -> str:
    """A table for an issue or a README."""
    head = ("dtype", "batch", "size", "scheduler", "steps", "calls", "total [s]", "min", "max", "U-Net call [ms]", "images/s",
            "of matmul peak", "PSNR to fp32 [dB]", "error")  # fmt: skip
    lines = [head, ("---",) * len(head)]
    for row in rows:
        total, fraction = row.total_s, row.fraction_of_peak
        cells = (
            row.dtype, row.batch_size, f"{row.width}x{row.height}" if row.width else None, row.scheduler, row.steps, row.num_unet_calls,
            total and f"{total.median:.4g} ± {total.stddev:.2g}", total and f"{total.min:.4g}", total and f"{total.max:.4g}",
            row.unet_call_ms and f"{row.unet_call_ms:.4g}", row.images_per_s and f"{row.images_per_s:.4g}",
            fraction and f"{fraction:.0%}", row.psnr_vs_fp32 and f"{row.psnr_vs_fp32:.1f}", row.error,
        )  # fmt: skip
        lines.append(tuple("" if cell is None else str(cell).replace("|", "\\|") for cell in cells))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
