"""The per-pair file of `ldm clipscore`."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ldmcli.records.scores import ScoredPair
from ldmcli.reports.csv_cells import safe_row
from ldmcli.runtime.files import write_file


def write_pair_scores(path: Path, items: Sequence[ScoredPair], *, overwrite: bool) -> None:
    """One entry per pair, as JSON, JSON Lines or CSV by the name's ending. Raises LdmError."""
    rows = [{key: value for key, value in asdict(item).items() if value is not None} for item in items]
    if path.suffix == ".csv":
        buffer = io.StringIO()
        writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(safe_row, rows))
        text = buffer.getvalue()
    else:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        text = "\n".join(lines) + "\n" if path.suffix == ".jsonl" else "[\n" + ",\n".join(lines) + "\n]\n"
    write_file(path, text, overwrite=overwrite)
