"""Build the emoji data set in COCO 2017 layout: python scripts/bundle/build_dataset.py --out DIR [--packages NODE_MODULES] [--part vae]

First every emoji alone, on white, in every style; then scenes (scene_plan.py). The same packages give the same bytes.
A picture that is already there, made from the same source, is left alone. `--part vae` leaves out every picture with an emoji on which the
VAE is judged, so that these are new to it in any size and on any background.
"""

import argparse
import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import captions
import licences
import selection
import sources
from lists import is_free_of_synonyms
from PIL import Image, PngImagePlugin
from scene_plan import KINDS, plan_scenes, things_of
from scenes import SIDE, Scene, draw_scene

REPEATS, OTHER_REPEATS = 10, 3
"""How often a single emoji stands in the list, in the style that a caption without a style means and in any other."""
VAE_SHARE = 0.35
"""Of the scenes, for the VAE, which needs no more."""
SOURCE_KEY = "Source"
SCENES_FROM = 100_001
"""Number of the first scene."""
PICTURE_NAME = re.compile(r"\d{12}\.png")


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One picture to be made."""

    id: int
    emoji: sources.Emoji
    style: sources.Style
    path: Path

    @property
    def file_name(self) -> str:
        return f"{self.id:012d}.png"


def is_for_judging(emoji: sources.Emoji) -> bool:
    """One emoji in sixteen, which the VAE never sees."""
    return int(hashlib.sha256(f"judge {emoji.code}".encode()).hexdigest(), 16) % 16 == 0


def plan_pictures(emoji_kept: list[sources.Emoji], packages: Path) -> list[Picture]:
    """Every emoji in every style that draws it, numbered from 1 in Unicode order."""
    found = [
        (emoji, style, path)
        for emoji in emoji_kept
        for style in sources.STYLES
        if (path := sources.find_picture(packages, style, emoji)) is not None
    ]
    return [Picture(id=number, emoji=emoji, style=style, path=path) for number, (emoji, style, path) in enumerate(found, start=1)]


def render(source: Image.Image) -> Image.Image:
    """SIDE x SIDE RGB on white.

    White goes under the picture before it is resized: resizing straight alpha would mix in the black that hides in transparent pixels.
    """
    source = source.convert("RGBA")
    side = max(source.size)
    canvas = Image.new("RGBA", (side, side), "white")
    canvas.alpha_composite(source, ((side - source.width) // 2, (side - source.height) // 2))
    canvas = canvas.convert("RGB")
    return canvas if side == SIDE else canvas.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def source_mark(picture: Picture) -> str:
    """Written into the PNG, so that a later run knows whether the picture is still the right one."""
    digest = hashlib.sha256(picture.path.read_bytes()).hexdigest()[:16]
    return f"{picture.style.folder}/{picture.path.name} {digest}"


def is_there(target: Path, mark: str) -> bool:
    try:
        with Image.open(target) as image:
            return image.size == (SIDE, SIDE) and image.info.get(SOURCE_KEY) == mark
    except OSError:
        return False


def write_bytes_whole(target: Path, content: bytes) -> None:
    """A run that is killed leaves no half file under the final name."""
    unfinished = target.with_name(target.name + ".partial")
    unfinished.write_bytes(content)
    os.replace(unfinished, target)


def write_picture(target: Path, mark: str, draw: Callable[[], Image.Image]) -> bool:
    """Returns whether there was anything to do."""
    if is_there(target, mark):
        return False
    note = PngImagePlugin.PngInfo()
    note.add_text(SOURCE_KEY, mark)
    unfinished = target.with_name(target.name + ".partial")
    draw().save(unfinished, "PNG", pnginfo=note)
    os.replace(unfinished, target)
    return True


def render_file(path: Path) -> Image.Image:
    with Image.open(path) as source:
        return render(source)


def describe_single(picture: Picture, said: list[str]) -> dict[str, Any]:
    """What the captions file says of it, beyond COCO's own keys the emoji, its style and category."""
    emoji = picture.emoji
    own = {"emoji": emoji.code, "name": emoji.name, "style": picture.style.name, "category": emoji.category, "kind": "single"}
    return {"file_name": picture.file_name, "license": picture.style.licence, **own, "captions": said}


def describe_scene(scene: Scene, file_name: str) -> dict[str, Any]:
    """Objects in the order left to right, top to bottom: code, centre and side in pixels, colour."""
    objects = [{"emoji": o.emoji.code, "x": round(o.x, 1), "y": round(o.y, 1), "side": o.side, "colour": o.colour} for o in scene.objects]
    own = {"style": scene.style.name, "kind": scene.kind, "objects": objects, "background": scene.background, "stacked": scene.stacked}
    return {"file_name": file_name, "license": scene.style.licence, **own, "captions": list(scene.captions)}


def are_default(pictures: list[Picture]) -> list[bool]:
    """Of each picture whether it is the first style's that draws its emoji: what a caption without a style means."""
    drawn, found = set[str](), []
    for picture in pictures:
        found.append(picture.emoji.code not in drawn)
        drawn.add(picture.emoji.code)
    return found


def single_captions(pictures: list[Picture], everyday: dict[str, list[str]]) -> list[list[str]]:
    """Of each picture."""
    counts = captions.count_keywords({picture.emoji for picture in pictures})
    said = []
    for picture, is_default in zip(pictures, are_default(pictures), strict=True):
        turn = sources.STYLES.index(picture.style)
        said.append(captions.captions_of(picture.emoji, picture.style.name, turn, everyday, counts, is_default=is_default))
    return said


def captions_file(described: list[dict[str, Any]]) -> dict[str, Any]:
    """As COCO 2017 has it."""
    images, annotations = [], []
    for number, row in enumerate(described, start=1):
        images.append({"id": number, "width": SIDE, "height": SIDE, **{key: value for key, value in row.items() if key != "captions"}})
        for caption in filter(is_free_of_synonyms, row["captions"]):
            annotations.append({"id": len(annotations) + 1, "image_id": number, "caption": caption})
    info = {
        "description": "Emoji in three styles, alone and composed, 64 x 64, with everyday captions",
        "version": "2.0",
        "year": 2026,
        "contributor": "see ATTRIBUTION.md",
        "packages": sources.PACKAGES,
    }
    return {"info": info, "licenses": licences.LICENCES, "images": images, "annotations": annotations}


def build(out: Path, packages: Path, *, kinds: dict[str, int] | None = None, part: str = "all") -> dict[str, int]:
    """Write the whole data set. kinds: scenes of each kind. Returns counts: concepts, pictures, captions, written (made in this run)."""
    kept = [emoji for emoji in filter(selection.is_kept, sources.read_emoji(packages)) if part == "all" or not is_for_judging(emoji)]
    singles = plan_pictures(kept, packages)
    kinds = KINDS if kinds is None else kinds
    if part == "vae":
        kinds = {kind: round(number * VAE_SHARE) for kind, number in kinds.items()}
    folder, notes = out / "train2017", out / "annotations"
    folder.mkdir(parents=True, exist_ok=True)
    notes.mkdir(exist_ok=True)
    written = sum([write_picture(folder / p.file_name, source_mark(p), partial(render_file, p.path)) for p in singles])
    everyday = captions.everyday_words(kept)
    alone = [describe_single(p, said) for p, said in zip(singles, single_captions(singles, everyday), strict=True)]
    times = [1 if part == "vae" else REPEATS if default else OTHER_REPEATS for default in are_default(singles)]
    described = [row for row, number in zip(alone, times, strict=True) for _ in range(number)]
    things = things_of(kept, packages, everyday)
    for number, scene in enumerate(plan_scenes(things, kinds), start=SCENES_FROM):
        name = f"{number:012d}.png"
        written += write_picture(folder / name, scene.mark(), partial(draw_scene, scene))
        described.append(describe_scene(scene, name))
    wanted = {row["file_name"] for row in described}
    for stale in folder.iterdir():
        if PICTURE_NAME.fullmatch(stale.name.removesuffix(".partial")) and stale.name not in wanted:
            stale.unlink()
    listed = captions_file(described)
    write_bytes_whole(notes / "captions_train2017.json", (json.dumps(listed, indent=1, ensure_ascii=True) + "\n").encode())
    write_bytes_whole(out / "ATTRIBUTION.md", licences.ATTRIBUTION.encode())
    return {"concepts": len(kept), "pictures": len(wanted), "captions": len(listed["annotations"]), "written": written}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for train2017/ and annotations/")
    parser.add_argument("--packages", type=Path, help="node_modules folder with the pinned packages; fetched with npm if left out")
    parser.add_argument("--part", choices=("all", "vae"), default="all", help="vae: without the emoji on which the VAE is judged")
    arguments = parser.parse_args()
    out = arguments.out.expanduser().resolve()
    packages = arguments.packages or sources.install_packages(out.with_name(out.name + "-packages"))
    print(json.dumps(build(out, packages.expanduser(), part=arguments.part)))


if __name__ == "__main__":
    main()
