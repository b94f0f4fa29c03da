"""Geometry of a line chart on two logarithmic axes, for a template to draw as SVG. Knows no page and no colours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEFT, TOP, BOTTOM = 52, 16, 44
LINE, LETTER = 15, 7.4
"""Least distance between two labels, and the width of a letter of theirs."""
DESK, PHONE = (760, 420), (336, 320)
"""Width and height: a drawing that names its lines at their ends, and one that numbers them, as high as it is wide."""


@dataclass(frozen=True)
class Series:
    """A named line through (x, y), both above 0, by rising x. number: picks its colour."""

    name: str
    number: int
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """A series in pixels. path: of an SVG; marks: (x, y, what stands there); label: its name or its number, at the right of label_y."""

    name: str
    number: int
    label: str
    path: str
    marks: list[tuple[float, float, str]]
    end: tuple[float, float]
    label_y: float


@dataclass(frozen=True)
class Chart:
    """Everything in pixels of a width x height drawing. ticks: (place, text)."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    threshold_y: float | None
    curves: list[Curve]


def log_chart(series: Sequence[Series], size: tuple[int, int] = DESK, *, named: bool = True, threshold: float | None = None) -> Chart:
    """Lay out at least one series. named: by name at the end of its line, else by number from 1; threshold: a y to be marked."""
    labels = [one.name if named else str(one.number + 1) for one in series]
    (width, height), right = size, round(10 + LETTER * max(map(len, labels)))
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points] + ([threshold] if threshold else [])
    x_low, x_high = _widened(min(xs), max(xs))
    y_low, y_high = _widened(min(ys), max(ys))

    def at_x(x: float) -> float:
        return round(LEFT + (width - LEFT - right) * math.log(x / x_low) / math.log(x_high / x_low), 1)

    def at_y(y: float) -> float:
        return round(TOP + (height - TOP - BOTTOM) * math.log(y_high / y) / math.log(y_high / y_low), 1)

    placed = [[(at_x(x), at_y(y)) for x, y in one.points] for one in series]
    label_ys = _apart([points[-1][1] for points in placed], height - BOTTOM)
    curves = [
        Curve(
            one.name,
            one.number,
            label,
            "M" + "L".join(f"{x},{y}" for x, y in points),
            [(px, py, f"{one.name}, {x:g} calls: {y:.3g} %") for (px, py), (x, y) in zip(points, one.points, strict=True)],
            points[-1],
            label_y,
        )
        for one, label, points, label_y in zip(series, labels, placed, label_ys, strict=True)
    ]
    return Chart(
        width, height, LEFT, width - right, TOP, height - BOTTOM,
        [(at_x(x), f"{x:g}") for x in ticks(x_low, x_high)],
        [(at_y(y), f"{y:g} %") for y in ticks(y_low, y_high)],
        at_y(threshold) if threshold else None,
        curves,
    )  # fmt: skip


def ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten between two bounds."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [factor * 10.0**power for power in powers for factor in (1, 2, 5) if low <= factor * 10.0**power <= high]


def _widened(low: float, high: float) -> tuple[float, float]:
    """A little room on both sides, and never nothing between them."""
    room = (high / low) ** 0.06 if high > low else 2.0
    return low / room, high * room


def _apart(places: Sequence[float], bottom: float) -> list[float]:
    """The places moved down until no two are closer than a line, then all up if the last fell below the bottom."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for before, after in zip(order, order[1:], strict=False):
        moved[after] = max(moved[after], moved[before] + LINE)
    surplus = max(0.0, moved[order[-1]] - bottom)
    return [round(place - surplus, 1) for place in moved]
