"""The colours of all pages: text can be read on both grounds, by day and by night (WCAG 2.1, 1.4.3)."""

import re

import pytest

from ldmcli.reports.html import TEMPLATES

NIGHT, DAY = (
    dict(re.findall(r"--(\w+): #([0-9a-f]{6});", block))
    for block in re.findall(r":root \{(.*?)\}", (TEMPLATES / "base.css").read_text(encoding="utf-8"), re.S)
)
TEXT = ["text", "muted", "accent", "cool", *(f"c{number}" for number in range(10))]


def luminance(colour: str) -> float:
    """Relative, of RRGGBB."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("palette", [NIGHT, DAY], ids=["night", "day"])
def test_text_stands_out_from_both_grounds(palette):
    for name in TEXT:
        for ground in ("bg", "panel"):
            dark, light = sorted((luminance(palette[name]), luminance(palette[ground])))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, ground)
