"""index.html of `generate --index`: every picture that a folder's manifest knows, beside its prompt, seed and settings."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ldmcli.records.words import counted, plain
from ldmcli.reports.html import render_page
from ldmcli.runtime.files import write_file

SAID = {
    "seed": "seed", "scheduler": "scheduler", "steps": "steps", "num_unet_calls": "U-Net calls", "cfg": "guidance",
    "negative_prompt": "without", "truncated_tokens": "tokens left out", "model": "model",
}  # fmt: skip
"""Keys of a manifest's row, and what the page calls them."""


@dataclass(frozen=True)
class Card:
    """A picture of the page. address: as a link from the folder; settings: (name, value)."""

    name: str
    address: str
    prompt: str
    width: int
    height: int
    settings: list[tuple[str, str]]


def write_index(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write the page, whole or not at all, and return how many pictures it shows. rows: of pictures, from the folder's manifest.

    Pictures that are no longer there are left out. Raises LdmError.
    """
    latest = {row["path"]: row for row in rows}
    cards = [card(row) for row in sorted(latest.values(), key=lambda row: row["number"]) if path.with_name(row["path"]).is_file()]
    models = list(dict.fromkeys(value for one in cards for name, value in one.settings if name == "model"))
    title = f"{counted(len(cards), 'picture')} in {path.parent.resolve().name}"
    write_file(path, render_page("index", pictures="'self' file:", title=title, cards=cards, models=models))
    return len(cards)


def card(row: dict[str, Any]) -> Card:
    """What the page says of a row. Anyone may have written it: every value is text, and every address leads into the folder."""
    width, height = (size if isinstance(size := row[key], int) else 0 for key in ("width", "height"))
    said = [(name, plain(row[key])) for key, name in SAID.items() if row.get(key) not in (None, "", 0) or key == "seed"]
    more = row.get("settings")
    said += [(str(name), plain(value)) for name, value in (more.items() if isinstance(more, dict) else ())]
    said.insert(1, ("size", f"{width} × {height}"))
    return Card(row["path"], "./" + quote(row["path"], safe=""), str(row["prompt"]), width, height, said)
