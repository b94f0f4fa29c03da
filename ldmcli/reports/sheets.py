"""Contact sheets: many small pictures as one."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ldmcli.outputs.picture_files import encode_picture, sheet_texts
from ldmcli.runtime.files import replace_file


def contact_sheet(
    pictures: Sequence[Image.Image], columns: int, *, labels: Sequence[str] = (), scale: int = 1, gap: int = 4
) -> Image.Image:
    """Pictures of one size row by row, each `scale` times as large (nearest neighbour), a label under each where given."""
    width, height = pictures[0].width * scale, pictures[0].height * scale
    caption = 14 if labels else 0
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + caption + gap) + gap), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for index, picture in enumerate(pictures):
        left, top = gap + index % columns * (width + gap), gap + index // columns * (height + caption + gap)
        sheet.paste(picture.resize((width, height), Image.Resampling.NEAREST), (left, top))
        if labels:
            text = labels[index][:width]
            while text and draw.textlength(text, font=font) > width:
                text = text[:-1]
            draw.text((left, top + height), text, fill="black", font=font)
    return sheet


def save_sheet(sheet: Image.Image, path: Path, kind: str = "samples", *, provenance: bool = True) -> Path:
    """Write a PNG that says which kind of sheet it is (see `sheet_texts`), making its folder. Raises OSError."""
    return replace_file(path, encode_picture(sheet, "png", sheet_texts(kind), provenance=provenance))
