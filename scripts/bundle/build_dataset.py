"""Build the emoji data set in COCO 2017 layout: python scripts/bundle/build_dataset.py --out DIR [--packages NODE_MODULES] [--part vae]

First every emoji alone, on white, in every set of drawings, each varied (variations.py); then scenes (scene_plan.py). The same packages
give the same bytes. A picture that is already there, made from the same source, is left alone. `--part vae` leaves out every picture with
an emoji on which the VAE is judged, so that these are new to it in any size and on any background. `--share 0.2` makes a fifth of the
scenes and shows each emoji alone as it is drawn only. `--sets 3` leaves out the sets after the third.
"""

import argparse
import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import captions
import licences
import selection
import sources
import vector_sets
from lists import is_free_of_synonyms
from PIL import Image, PngImagePlugin
from scene_plan import KINDS, plan_scenes, things_of
from scenes import SIDE, Scene, draw_scene
from singles import describe_single, plan_pictures, single_captions

VAE_SHARE = 0.35
"""Of the scenes, for the VAE, which needs no more."""
SOURCE_KEY = "Source"
SCENES_FROM = 100_001
"""Number of the first scene."""
PICTURE_NAME = re.compile(r"\d{12}\.png")


def is_for_judging(emoji: sources.Emoji) -> bool:
    """One emoji in sixteen, which the VAE never sees."""
    return int(hashlib.sha256(f"judge {emoji.code}".encode()).hexdigest(), 16) % 16 == 0


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


def describe_scene(scene: Scene, file_name: str) -> dict[str, Any]:
    """Objects in the order left to right, top to bottom: code, centre and side in pixels, colour."""
    objects = [{"emoji": o.emoji.code, "x": round(o.x, 1), "y": round(o.y, 1), "side": o.side, "colour": o.colour} for o in scene.objects]
    own = {"style": scene.style, "kind": scene.kind, "objects": objects, "background": scene.background, "stacked": scene.stacked}
    if scene.relation:
        own |= {"relation": scene.relation[0], "furniture_colour": scene.furniture_colour}
    return {"file_name": file_name, "license": scene.licence, **own, "captions": list(scene.captions)}


def captions_file(described: list[dict[str, Any]]) -> dict[str, Any]:
    """As COCO 2017 has it."""
    images, annotations = [], []
    for number, row in enumerate(described, start=1):
        images.append({"id": number, "width": SIDE, "height": SIDE, **{key: value for key, value in row.items() if key != "captions"}})
        for caption in filter(is_free_of_synonyms, row["captions"]):
            annotations.append({"id": len(annotations) + 1, "image_id": number, "caption": caption})
    info = {
        "description": "Emoji in three styles, alone and composed, 64 x 64, with everyday captions",
        "version": "3.0",
        "year": 2026,
        "contributor": "see ATTRIBUTION.md",
        "packages": sources.PACKAGES,
    }
    return {"info": info, "licenses": licences.LICENCES, "images": images, "annotations": annotations}


def build(
    out: Path,
    packages: Path,
    *,
    kinds: dict[str, int] | None = None,
    part: str = "all",
    share: float = 1.0,
    sets: Sequence[sources.PictureSet] = sources.SETS,
) -> dict[str, int]:
    """Write the whole data set. kinds: scenes of each kind. Returns counts: concepts, pictures, captions, written (made in this run).

    The pictures of one thing stand in the list as often as makes them about half of it, so that half of the draws show one thing;
    not for the VAE.
    """
    kept = [emoji for emoji in filter(selection.is_kept, sources.read_emoji(packages)) if part == "all" or not is_for_judging(emoji)]
    everyday = captions.everyday_words(kept)
    of_scenes = share * (VAE_SHARE if part == "vae" else 1)
    kinds = {kind: max(round(number * of_scenes), 1) for kind, number in (kinds or KINDS).items()}
    folder, notes = out / "train2017", out / "annotations"
    folder.mkdir(parents=True, exist_ok=True)
    notes.mkdir(exist_ok=True)
    written, described = 0, []
    counts = captions.count_keywords(kept)
    for number, picture in enumerate(plan_pictures(kept, packages, everyday, sets=sets, varied=share == 1), start=1):
        name, scene = f"{number:012d}.png", picture.scene()
        written += write_picture(folder / name, scene.mark(), partial(draw_scene, scene))
        described.append(describe_single(picture, single_captions(picture, everyday, counts), name))
    if part == "all":
        described *= max(round(sum(kinds.values()) / len(described)), 1)
    for number, scene in enumerate(plan_scenes(things_of(kept, packages, everyday, sets), kinds), start=SCENES_FROM):
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
    parser.add_argument("--share", type=float, default=1.0, help="of the scenes; below 1 no emoji alone is varied")
    every = len(sources.SETS)
    parser.add_argument(
        "--sets", type=int, choices=range(1, every + 1), default=every, help="of drawings, from the first; 3: one of each style"
    )
    arguments = parser.parse_args()
    out = arguments.out.expanduser().resolve()
    packages = arguments.packages or sources.install_packages(out.with_name(out.name + "-packages"))
    vector_sets.draw_sets(packages.expanduser())
    print(json.dumps(build(out, packages.expanduser(), part=arguments.part, share=arguments.share, sets=sources.SETS[: arguments.sets])))


if __name__ == "__main__":
    main()
