"""Build the emoji data set in COCO 2017 layout: python scripts/bundle/build_dataset.py --out DIR [--packages NODE_MODULES]

The same packages give the same bytes. A picture that is already there, made from the same source, is left alone.
"""

import argparse
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import captions
import licences
import selection
import sources
from PIL import Image, PngImagePlugin

SIDE = 64
"""Pixels."""
SOURCE_KEY = "Source"
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


def plan_pictures(packages: Path) -> list[Picture]:
    """Every kept emoji in every style that draws it, numbered from 1 in Unicode order."""
    found = [
        (emoji, style, path)
        for emoji in filter(selection.is_kept, sources.read_emoji(packages))
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
    partial = target.with_name(target.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, target)


def write_picture(picture: Picture, folder: Path) -> bool:
    """Returns whether there was anything to do."""
    target, mark = folder / picture.file_name, source_mark(picture)
    if is_there(target, mark):
        return False
    note = PngImagePlugin.PngInfo()
    note.add_text(SOURCE_KEY, mark)
    partial = target.with_name(target.name + ".partial")
    with Image.open(picture.path) as source:
        render(source).save(partial, "PNG", pnginfo=note, optimize=True)
    os.replace(partial, target)
    return True


def describe(pictures: list[Picture]) -> dict:
    """The captions file, as COCO 2017 has it, with the emoji, its style and category on each image."""
    everyday = captions.read_everyday_words()
    counts = captions.count_keywords({picture.emoji for picture in pictures})
    images, annotations = [], []
    drawn: set[str] = set()
    for picture in pictures:
        emoji, style = picture.emoji, picture.style
        images.append(
            {
                "id": picture.id,
                "file_name": picture.file_name,
                "width": SIDE,
                "height": SIDE,
                "license": style.licence,
                "emoji": emoji.code,
                "name": emoji.name,
                "style": style.name,
                "category": emoji.category,
            }
        )
        turn, is_default = sources.STYLES.index(style), emoji.code not in drawn  # the first style that draws it
        drawn.add(emoji.code)
        for caption in captions.captions_of(emoji, style.name, turn, everyday, counts, is_default=is_default):
            annotations.append({"id": len(annotations) + 1, "image_id": picture.id, "caption": caption})
    info = {
        "description": "Emoji in three styles, 64 x 64 on white, with everyday captions",
        "version": "1.0",
        "year": 2025,
        "contributor": "see ATTRIBUTION.md",
        "packages": sources.PACKAGES,
    }
    return {"info": info, "licenses": licences.LICENCES, "images": images, "annotations": annotations}


def build(out: Path, packages: Path) -> dict[str, int]:
    """Write the whole data set. Returns counts: concepts, pictures, captions, written (pictures made in this run)."""
    pictures = plan_pictures(packages)
    folder, notes = out / "train2017", out / "annotations"
    folder.mkdir(parents=True, exist_ok=True)
    notes.mkdir(exist_ok=True)
    written = sum([write_picture(picture, folder) for picture in pictures])
    wanted = {picture.file_name for picture in pictures}
    for stale in folder.iterdir():
        if PICTURE_NAME.fullmatch(stale.name.removesuffix(".partial")) and stale.name not in wanted:
            stale.unlink()
    described = describe(pictures)
    text = json.dumps(described, indent=1, ensure_ascii=True) + "\n"
    write_bytes_whole(notes / "captions_train2017.json", text.encode())
    write_bytes_whole(out / "ATTRIBUTION.md", licences.ATTRIBUTION.encode())
    concepts = len({picture.emoji.code for picture in pictures})
    return {"concepts": concepts, "pictures": len(pictures), "captions": len(described["annotations"]), "written": written}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for train2017/ and annotations/")
    parser.add_argument("--packages", type=Path, help="node_modules folder with the pinned packages; fetched with npm if left out")
    arguments = parser.parse_args()
    out = arguments.out.expanduser().resolve()
    packages = arguments.packages or sources.install_packages(out.with_name(out.name + "-packages"))
    print(json.dumps(build(out, packages.expanduser())))


if __name__ == "__main__":
    main()
