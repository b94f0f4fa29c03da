"""MS-COCO captions in every layout that people keep them in (Lin et al. 2014; Chen et al. 2015)."""

import contextlib
import io
from collections import Counter
from pathlib import Path
from typing import Any

from ldmcli.data.captioned import CaptionedImages, Collector, inside, name_in
from ldmcli.data.text_file import read_json
from ldmcli.errors import LdmError

YEARS = ("2017", "2014")


def find_coco(root: Path, split: str) -> tuple[Path, Path] | None:
    """(captions file, picture folder) of a split ("train" or "val") under `root`, or None if no known layout is there."""
    for year in YEARS:
        name = f"captions_{split}{year}.json"
        files = [root / "annotations" / name, root / f"annotations_trainval{year}" / "annotations" / name, root / name]
        part = f"{split}{year}"
        folders = [root / part / part, root / part, root / "images" / part, root / f"resized{year}", root / "images", root]
        captions = next((f for f in files if f.is_file()), None)
        if captions:
            pictures = next((f for f in folders if f.is_dir()), root)
            return captions, pictures
    return None


def load_coco(captions: Path, pictures: Path, *, limit: int | None = None, allow_missing: bool = False) -> CaptionedImages:
    """Read a captions file with pycocotools and find each picture.

    limit: only the first so many pictures, by id. Raises LdmError for a file that is not COCO captions, NotFound when
    pictures are missing (more than 1 %, unless allow_missing).
    """
    coco = _parse(captions)
    found = Collector()
    found.dropped["caption of an unknown picture"] = sum(1 for a in coco.anns.values() if a.get("image_id") not in coco.imgs)
    for number in sorted(coco.imgs)[:limit]:
        if name_in({"file_name": coco.imgs[number].get("file_name")}) is None:
            found.skip(str(number), captions, "picture whose file_name is no text")
            continue
        path = inside(pictures, coco.imgs[number]["file_name"], captions)
        found.add(str(number), path, [annotation.get("caption") for annotation in coco.imgToAnns.get(number, [])])
    return found.result(captions, "COCO", pictures, allow_missing=allow_missing)


def _parse(captions: Path) -> Any:
    """A checked pycocotools COCO object. The library itself accepts almost anything and prints to stdout."""
    raw = read_json(captions)
    for key, needed in (("images", ("id", "file_name")), ("annotations", ("id", "image_id", "caption"))):
        rows = raw.get(key) if isinstance(raw, dict) else None
        if not isinstance(rows, list) or not rows:
            raise LdmError(f"{captions} is not a COCO captions file: it has no `{key}`.")
        bad = next((row for row in rows if not isinstance(row, dict) or any(name not in row for name in needed)), None)
        if bad is not None:
            raise LdmError(f"{captions}: an entry of `{key}` lacks one of {', '.join(needed)}: {str(bad)[:80]}")
        if {type(row["id"]) for row in rows} not in ({int}, {str}) or any(isinstance(row.get("image_id"), list | dict) for row in rows):
            raise LdmError(f"{captions}: the ids of `{key}` are neither all whole numbers nor all texts.")
        twice = [number for number, count in Counter(str(row["id"]) for row in rows).items() if count > 1]
        if twice:
            raise LdmError(f"{captions}: duplicate ids in `{key}`: {', '.join(twice[:5])}")
    _match_ids(raw)

    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = raw
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _match_ids(raw: dict[str, Any]) -> None:
    """Let annotations name their pictures by 7 where the pictures say "7" or "007", and the other way round."""
    ids = {row["id"] for row in raw["images"]}
    by_number = {_as_number(number): number for number in ids}
    if len(by_number) == len(ids):
        for row in raw["annotations"]:
            if row["image_id"] not in ids:
                row["image_id"] = by_number.get(_as_number(row["image_id"]), row["image_id"])


def _as_number(number: Any) -> Any:
    """7, "7", "007" and 7.0 -> 7; anything else as it is."""
    if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 20:
        return int(number)
    return int(number) if isinstance(number, float) and number.is_integer() else number
