"""Draw the sets that come as SVG (Iconify's JSON packages) into picture files: python scripts/bundle/vector_sets.py NODE_MODULES

A drawing belongs to an emoji when the package calls it by the emoji's name, in any spelling; what it calls otherwise is left alone.
"""

import json
import os
import re
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import selection
import sources

SIDE = 128
"""Pixels."""
OTHERWISE = {"noto-v1": {"cricket", "water pistol"}, "emojione": {"cricket", "water pistol"}}
"""Names of emoji that mean another thing in older sets: their cricket is the game, their pistol no toy."""


def squeezed(name: str) -> str:
    """ "dog-face" and "Dog face" -> "dogface"."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def svg_of(icons: dict[str, Any], name: str) -> str:
    """One icon of an Iconify file as an SVG document. An alias is its parent's drawing."""
    while name in icons.get("aliases", {}):
        name = icons["aliases"][name]["parent"]
    icon = icons["icons"][name]
    box = [icon.get("left", 0), icon.get("top", 0), icon.get("width", icons["width"]), icon.get("height", icons["height"])]
    links = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {links} viewBox="{" ".join(map(str, box))}">{icon["body"]}</svg>'


def named_alike(icons: dict[str, Any], names: dict[str, list[str]]) -> dict[str, str]:
    """Icons by emoji code. names: of each emoji, the best first. An alias that is not a plain copy (turned, mirrored) is none."""
    plain = [name for name, alias in icons.get("aliases", {}).items() if set(alias) == {"parent"}]
    found = {squeezed(name): name for name in [*plain, *icons["icons"]]}
    hits = {code: [found[key] for key in map(squeezed, called) if key in found] for code, called in names.items()}
    return {code: hit[0] for code, hit in hits.items() if hit}


def emoji_names(packages: Path, otherwise: Collection[str]) -> dict[str, list[str]]:
    """By code: CLDR's name, the Unicode name of old, and short names; those whose name means something else left out."""
    rows = json.loads((packages / "emoji-datasource-google/emoji.json").read_text(encoding="utf-8"))
    older = {sources.without_variation(row["unified"]): [row["name"] or "", *row["short_names"]] for row in rows}
    kept = (emoji for emoji in sources.read_emoji(packages) if selection.is_kept(emoji) and emoji.name not in otherwise)
    return {emoji.code: [emoji.name, *older[emoji.code]] for emoji in kept}


def draw_sets(packages: Path) -> dict[str, int]:
    """Every SVG set of sources.SETS; what is there already stays. Returns how many each has."""
    sources.use_tools(packages)
    import resvg_py  # of sources.TOOLS

    counts = {}
    for one in sources.SETS:
        if not one.folder.startswith(sources.DRAWN):
            continue
        icons = json.loads((packages / "@iconify-json" / one.name / "icons.json").read_text(encoding="utf-8"))
        folder = packages / one.folder
        folder.mkdir(parents=True, exist_ok=True)
        chosen = named_alike(icons, emoji_names(packages, OTHERWISE.get(one.name, ())))
        for stale in {path.stem for path in folder.iterdir()} - {code.lower() for code in chosen}:
            (folder / f"{stale}{one.suffix}").unlink(missing_ok=True)
        for code, icon in chosen.items():
            target = folder / f"{code.lower()}{one.suffix}"
            if not target.is_file():
                unfinished = target.with_suffix(".partial")
                unfinished.write_bytes(bytes(resvg_py.svg_to_bytes(svg_string=svg_of(icons, icon), width=SIDE, height=SIDE)))
                os.replace(unfinished, target)
        counts[one.name] = len(chosen)
    return counts


if __name__ == "__main__":
    print(json.dumps(draw_sets(Path(sys.argv[1]))))
