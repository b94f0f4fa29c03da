"""A measured figure, what was asked of it, and the table of them. Knows no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measurement. value: a share (0 to 1) where the unit is %, else in the unit. cases: how many were looked at.

    chance: what blind guessing gives; bound: the least that is asked, or with at_most the largest.
    """

    name: str
    value: float
    unit: str = "%"
    cases: int
    chance: float | None = None
    bound: float | None = None
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the bound is kept; None without one."""
        if self.bound is None:
            return None
        return self.value <= self.bound if self.at_most else self.value >= self.bound


@dataclass(frozen=True)
class Result:
    """What a part found. details: every verdict, for the JSON file."""

    figures: list[Figure]
    details: Any
    sheet: Image.Image | None = field(default=None, repr=False)


def share(verdicts: Sequence[bool]) -> float:
    """Of those that are true; not a number where there are none."""
    return sum(verdicts) / len(verdicts) if verdicts else float("nan")


def in_words(value: float | None, unit: str) -> str:
    """ "97.8 %", "24.51 dB"; empty for None."""
    if value is None:
        return ""
    return f"{value:.1%}".replace("%", " %") if unit == "%" else f"{value:.3g} {unit}".strip()


def table(figures: Sequence[Figure]) -> str:
    """One line per figure."""
    rows = [("what", "measured", "asked", "chance", "cases", "")]
    for one in figures:
        asked = "" if one.bound is None else f"{'<=' if one.at_most else '>='} {in_words(one.bound, one.unit)}"
        verdict = {None: "", True: "met", False: "missed"}[one.met]
        rows.append((one.name, in_words(one.value, one.unit), asked, in_words(one.chance, one.unit), str(one.cases), verdict))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
