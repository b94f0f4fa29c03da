"""Pictures of a comparison side by side: a line for each scheduler, a column for each step count, the reference at the end."""

from dataclasses import dataclass, field

from PIL import Image, ImageDraw, ImageFont

from ldmcli.records.comparison import ComparisonReport

SIDE = 96
"""Least side in pixels at which a picture is shown: small ones are enlarged by a whole factor."""
GAP, LABEL, HEADER, TITLE = 6, 128, 20, 30
INK, SOFT, PAPER = "#1d1f23", "#636a74", "white"


@dataclass
class Shown:
    """The pictures behind a report: prompts and seeds of each, by (scheduler, budget), and those of the reference."""

    prompts: list[str]
    seeds: list[int]
    cells: dict[tuple[str, int], list[Image.Image]] = field(default_factory=dict)
    reference: list[Image.Image] = field(default_factory=list)

    def firsts(self, limit: int) -> list[int]:
        """Where the first picture of each prompt stands, for up to `limit` prompts."""
        return [self.prompts.index(prompt) for prompt in dict.fromkeys(self.prompts)][:limit]


def labelled_grid(report: ComparisonReport, shown: Shown, *, limit: int) -> Image.Image:
    """One block for each prompt, up to `limit`: its first seed by every scheduler and step count. A cell that failed is left empty."""
    names = list(dict.fromkeys(row.scheduler for row in report.rows))
    budgets = sorted({row.budget for row in report.rows})
    times = max(1, -(-SIDE // shown.reference[0].width))
    width, height = shown.reference[0].width * times, shown.reference[0].height * times
    calls = {(row.scheduler, row.budget): row.num_unet_calls for row in report.rows}
    blocks = shown.firsts(limit)
    block_height = TITLE + HEADER + len(names) * (height + HEADER + GAP) + GAP
    sheet = Image.new("RGB", (LABEL + (len(budgets) + 1) * (width + GAP) + GAP, len(blocks) * block_height), PAPER)
    draw, font, bold = ImageDraw.Draw(sheet), ImageFont.load_default(13), ImageFont.load_default(16)
    unit = "calls" if report.env["equal_nfe"] else "steps"
    for number, index in enumerate(blocks):
        top = number * block_height
        title = f"{shown.prompts[index]}   (seed {shown.seeds[index]})".replace("\n", " ")
        title = title[: sheet.width]  # no letter is narrower than a pixel
        while draw.textlength(title, font=bold) > sheet.width - 2 * GAP:
            title = title[:-2]
        draw.text((GAP, top + GAP), title, fill=INK, font=bold)
        headers = [*(f"{budget} {unit}" for budget in budgets), f"reference ({report.env['reference']['steps']})"]
        for column, header in enumerate(headers):
            draw.text((LABEL + column * (width + GAP), top + TITLE), header, fill=SOFT, font=font)
        for line, name in enumerate(names):
            y = top + TITLE + HEADER + line * (height + HEADER + GAP)
            draw.text((GAP, y + height // 2 - 8), name, fill=INK, font=font)
            for column, budget in enumerate(budgets):
                left = LABEL + column * (width + GAP)
                pictures = shown.cells.get((name, budget))
                if pictures:
                    sheet.paste(_enlarged(pictures[index], times), (left, y))
                    draw.text((left, y + height + 2), f"{calls[name, budget]} calls", fill=SOFT, font=font)
                else:
                    draw.rectangle((left, y, left + width - 1, y + height - 1), outline=SOFT)
                    draw.text((left + 8, y + height // 2 - 8), "failed", fill=SOFT, font=font)
            if line == 0:
                sheet.paste(_enlarged(shown.reference[index], times), (LABEL + len(budgets) * (width + GAP), y))
    return sheet


def _enlarged(picture: Image.Image, times: int) -> Image.Image:
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
