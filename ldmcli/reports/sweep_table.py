"""--grid of a sweep: a column for each value that one option takes, a row for the rest, and all of it written beside the pictures."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from PIL import Image, ImageDraw, ImageFont

from ldmcli.records.pictures import ImageRecord
from ldmcli.reports.grid import MOST_PICTURES, cell_side, read_cell

MOST_COLUMNS = 25
GAP, LETTER, LINE, WIDEST = 6, 13, 17, 220
"""In pixels: between pictures, of letters, from line to line, and of the widest label of a row."""
MOST_LINES = 5
INK, SOFT, PAPER = "#1d1f23", "#5b626c", "white"


@dataclass(frozen=True)
class SweepTable:
    """axis: what varies from column to column, and its values; rows: the lines that tell a row from the others; pictures[row][column]."""

    axis: str
    columns: list[str]
    rows: list[list[str]]
    pictures: list[list[ImageRecord | None]]
    """None where a picture failed."""

    def shown(self) -> "SweepTable":
        """The first rows of a large one, at least one of them."""
        kept = max(1, MOST_PICTURES // len(self.columns))
        return SweepTable(self.axis, self.columns, self.rows[:kept], self.pictures[:kept])

    @property
    def records(self) -> list[ImageRecord]:
        """Of all pictures that there are."""
        return [record for row in self.pictures for record in row if record is not None]


def table_sheet(table: SweepTable) -> Image.Image:
    """Draw a table with at least one picture. Raises LdmError for a picture that cannot be read."""
    font, bold = ImageFont.load_default(LETTER), ImageFont.load_default(LETTER + 2)
    side, largest = cell_side(table.records)
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    rows = [[line for label in labels for line in wrapped(draw, label, font, WIDEST)] for labels in table.rows]
    columns = [wrapped(draw, label, font, side) for label in table.columns]
    left = 2 * GAP + max((round(draw.textlength(line, font=font)) for lines in rows for line in lines), default=-GAP)
    top = 2 * GAP + LINE + LINE * max(map(len, columns))
    heights = [max(side, LINE * len(lines)) for lines in rows]
    width = max(left + len(columns) * (side + GAP), left + GAP + round(draw.textlength(table.axis, font=bold)))
    sheet = Image.new("RGB", (width, top + sum(heights) + len(heights) * GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((left, GAP), table.axis, fill=SOFT, font=bold)
    for number, lines in enumerate(columns):
        _write(draw, (left + number * (side + GAP), 2 * GAP + LINE), lines, font)
    y = top
    for lines, height, pictures in zip(rows, heights, table.pictures, strict=True):
        _write(draw, (GAP, y + (height - LINE * len(lines)) // 2), lines, font)
        for number, record in enumerate(pictures):
            x = left + number * (side + GAP)
            if record is not None:
                sheet.paste(read_cell(record, side, largest), (x, y))
            else:
                draw.rectangle((x, y, x + side - 1, y + side - 1), outline=SOFT)
                draw.text((x + GAP, y + side // 2 - LETTER), "failed", fill=SOFT, font=font)
        y += height + GAP
    return sheet


def wrapped(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """Lines no wider than that, cut between words where that is possible; of a long text the first few and `...`."""
    lines, rest = list[str](), " ".join(text.split())
    while rest and len(lines) <= MOST_LINES:
        wider = bisect_right(range(min(len(rest), width) + 1), width, key=lambda n: ceil(draw.textlength(rest[:n], font=font)))
        fits = max(1, wider - 1)  # no letter is narrower than a pixel
        if fits < len(rest) and " " in rest[: fits + 1].strip():
            fits = rest.rindex(" ", 0, fits + 1)
        lines.append(rest[:fits].rstrip())
        rest = rest[fits:].lstrip()
    return lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], "..."]


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], lines: Sequence[str], font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    for number, line in enumerate(lines):
        draw.text((place[0], place[1] + number * LINE), line, fill=INK, font=font)
