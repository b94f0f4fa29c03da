"""What `compare-schedulers` prints: a table in 80 columns and a verdict for each scheduler."""

from ldmcli.console.text import printable
from ldmcli.records.comparison import ComparedRow, ComparisonReport
from ldmcli.records.words import counted

COLUMNS = f"{'scheduler':19} {'steps':>5} {'calls':>5} {'seconds':>8} {'ms/call':>8} {'CLIP':>6} {'RMSE':>7} {'of sd':>7} {'PSNR':>6}"


def show_table(report: ComparisonReport) -> None:
    """What was measured, in words and figures."""
    env = report.env
    pictures, steps = counted(env["pictures"], "picture"), counted(env["reference"]["steps"], "step")
    print(f"{pictures}, cfg {env['cfg']:g}; errors against {steps} of ddim from the same noise")
    print(COLUMNS)
    for row in report.rows:
        print(table_line(row))
    print()
    for verdict in report.verdicts:
        print(printable(verdict.text))
    print()
    for path in report.files.values():
        print(path)


def table_line(row: ComparedRow) -> str:
    """At most 80 columns."""
    start = f"{row.scheduler:19} {row.steps:>5} {row.num_unet_calls:>5}"
    if row.error:
        return f"{start}  failed: {printable(row.error)}"[:80]
    cells = (
        _number(row.seconds, 8, 2),
        _number(row.seconds_per_call and row.seconds_per_call * 1000, 8, 1),
        _number(row.clip_score, 6, 1),
        _number(row.latent_rmse_to_reference, 7, 4),
        _number(row.relative_rmse and row.relative_rmse * 100, 6, 1) + ("%" if row.relative_rmse is not None else " "),
        _number(row.psnr_to_reference, 6, 1),
    )
    return f"{start} {' '.join(cells)}"


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.{digits}f}"
