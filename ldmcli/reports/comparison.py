"""The files of a comparison: results.json, results.csv, grid.png and a page."""

import csv
import dataclasses
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ldmcli.outputs.picture_files import encode_picture, sheet_texts
from ldmcli.records.comparison import ComparedRow, ComparisonReport
from ldmcli.records.words import counted, plain
from ldmcli.reports.comparison_grid import Shown, labelled_grid
from ldmcli.reports.csv_cells import safe_cell
from ldmcli.reports.curves import PHONE, Chart, Series, log_chart
from ldmcli.reports.html import data_uri, render_page
from ldmcli.runtime.files import write_file

COLUMNS = (
    "scheduler", "steps", "num_unet_calls", "budget", "seconds", "seconds_per_call", "clip_score", "latent_rmse_to_reference",
    "relative_rmse", "psnr_to_reference", "error",
)  # fmt: skip
"""Of results.csv: plain values of a row."""

SHOWN_PROMPTS = 6
"""How many prompts a picture grid holds, so that a page stays small enough to send."""
THUMBNAIL = 256
"""Side in pixels above which pictures are made smaller for the page."""

ENOUGH = 0.05


def write_comparison(folder: Path, report: ComparisonReport, shown: Shown) -> dict[str, Path]:
    """Write all four and return them by kind. Raises LdmError."""
    grid = encode_picture(labelled_grid(report, shown, limit=SHOWN_PROMPTS), "png", sheet_texts("grid"))
    return {
        "json": write_file(folder / "results.json", json.dumps(comparison_json(report), indent=1, ensure_ascii=True) + "\n"),
        "csv": write_file(folder / "results.csv", as_csv(report.rows)),
        "grid": write_file(folder / "grid.png", grid),
        "report": write_file(folder / "report.html", as_page(report, shown)),
    }


def comparison_json(report: ComparisonReport) -> dict[str, Any]:
    """The document of results.json and --json."""
    body = dataclasses.asdict(report)
    del body["files"]
    return {"schema": 1, **body}


def as_csv(rows: list[ComparedRow]) -> str:
    """A line per row, with the quartiles and interval in columns of their own."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*COLUMNS, "latent_rmse_q25", "latent_rmse_q75", "clip_score_low", "clip_score_high"])
    for row in rows:
        values = [getattr(row, name) for name in COLUMNS]
        table.writerow([*map(safe_cell, values), *(row.latent_rmse_quartiles or ("", "")), *(row.clip_score_ci95 or ("", ""))])
    return text.getvalue()


def as_page(report: ComparisonReport, shown: Shown) -> str:
    """The page: everything inside, readable without a network."""
    names = list(dict.fromkeys(row.scheduler for row in report.rows))
    numbers = {name: number for number, name in enumerate(names)}
    return render_page(
        "comparison",
        env=report.env,
        rows=report.rows,
        names=names,
        numbers=numbers,
        verdicts=sorted(report.verdicts, key=lambda verdict: verdict.calls or 10**9),
        differences=report.differences,
        budgets=sorted({row.budget for row in report.rows}),
        charts=convergence(report, numbers),
        blocks=_blocks(report, shown, names),
        enough=ENOUGH,
        settings={key: plain(value) for key, value in report.env.items() if key not in ("prompts", "reference")},
        solvers={f"{row.scheduler} at {counted(row.steps, 'step')}": (row.settings, row.notes) for row in report.rows if row.settings},
    )


def convergence(report: ComparisonReport, numbers: dict[str, int]) -> dict[str, Chart] | None:
    """Relative error in per cent against U-Net calls, on logarithmic axes, for a desk and for a phone; None where nothing was measured."""
    series = []
    for name, number in numbers.items():
        points = [(row.num_unet_calls, 100 * row.relative_rmse) for row in report.rows if row.scheduler == name and row.relative_rmse]
        if points:
            series.append(Series(name, number, sorted(points)))
    if not series:
        return None
    wide = log_chart(series, threshold=100 * ENOUGH)
    return {"desk": wide, "phone": log_chart(series, PHONE, named=False, threshold=100 * ENOUGH)}


@dataclass(frozen=True)
class Tile:
    """One picture of the page: uri is None where the cell failed."""

    uri: str | None
    title: str
    facts: str


@dataclass(frozen=True)
class Block:
    """The grid of one prompt."""

    prompt: str
    seed: int
    reference: str
    lines: list[tuple[str, list[Tile]]]


def _blocks(report: ComparisonReport, shown: Shown, names: list[str]) -> list[Block]:
    return [_block(report, shown, names, index) for index in shown.firsts(SHOWN_PROMPTS)]


def _block(report: ComparisonReport, shown: Shown, names: list[str], index: int) -> Block:
    lines = []
    for name in names:
        tiles = []
        for row in (row for row in report.rows if row.scheduler == name):
            picture = shown.cells.get((name, row.budget))
            facts = []
            if row.items.get("latent_rmse"):
                facts.append(f"error {row.items['latent_rmse'][index] / report.env['reference']['latent_std']:.1%}")
                facts.append(f"{row.items['psnr'][index]:.1f} dB")
            if row.items.get("cosine"):
                facts.append(f"CLIPScore {100 * row.items['cosine'][index]:.1f}")
            title = f"{name}, {row.num_unet_calls} calls"
            tiles.append(Tile(_uri(picture[index]) if picture else None, title, " · ".join(facts)))
        lines.append((name, tiles))
    return Block(shown.prompts[index], shown.seeds[index], _uri(shown.reference[index]), lines)


def _uri(picture: Image.Image) -> str:
    small = picture.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return data_uri(small) or ""
