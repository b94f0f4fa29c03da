"""Cells of a table that programs for spreadsheets do not take for formulas."""

from collections.abc import Mapping
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe_cell(value: Any) -> Any:
    """Text that would begin a formula gets an apostrophe in front, as OWASP advises; numbers stay."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def safe_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Every cell of it."""
    return {key: safe_cell(value) for key, value in row.items()}
