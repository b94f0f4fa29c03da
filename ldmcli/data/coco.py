"""MS-COCO captions in every layout that people keep them in (Lin et al. 2014; Chen et al. 2015)."""

import contextlib
import io
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from ldmcli.data.captioned import CaptionedImage, CaptionedImages
from ldmcli.errors import LdmError, NotFound, UsageError

YEARS = ("2017", "2014")
MAX_CAPTION_CHARS = 10_000


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
    ids = sorted(coco.imgs)[:limit]
    dropped: Counter[str] = Counter()
    dropped["caption of an unknown picture"] = sum(1 for a in coco.anns.values() if a.get("image_id") not in coco.imgs)
    images, missing = [], []
    for number in ids:
        texts = []
        for annotation in coco.imgToAnns.get(number, []):
            text = _clean(annotation.get("caption"))
            if text is None:
                dropped["unusable caption"] += 1
            else:
                texts.append(text)
        path = _inside(pictures, coco.imgs[number].get("file_name"), captions)
        if not texts:
            dropped["picture without a caption"] += 1
        elif not os.path.isfile(path):  # unlike Path.is_file, also answers for a name that is too long
            missing.append(path)
        else:
            images.append(CaptionedImage(str(number), path, tuple(texts)))
    if missing:
        dropped["missing picture"] = len(missing)
        if not images or (len(missing) > 0.01 * len(ids) and not allow_missing):
            raise NotFound(
                f"{len(missing)} of {len(ids)} pictures of {captions} are not in {pictures}, {missing[0].name} for one.",
                hint="Is --images right? --allow-missing goes on with those that are there.",
            )
    if not images:
        raise LdmError(f"{captions} has no picture with a usable caption.")
    problems = tuple(f"{count} x {what}, left out" for what, count in dropped.items() if count)
    return CaptionedImages(str(captions), tuple(images), problems)


def load_captioned(
    root: Path,
    *,
    split: str = "train",
    images: Path | None = None,
    captions: Path | None = None,
    limit: int | None = None,
    allow_missing: bool = False,
) -> CaptionedImages:
    """The pictures under `root`, or those that `images` and `captions` name. Raises NotFound with what was tried."""
    if captions and images:
        return load_coco(captions, images, limit=limit, allow_missing=allow_missing)
    if captions or images:
        raise UsageError("--images and --captions go together: the folder of pictures and the COCO captions file.")
    if not root.is_dir():
        raise NotFound(f"--data {root}: no such folder.", hint="Pass a folder with COCO pictures and annotations.")
    found = find_coco(root, split)
    if found is None:
        raise NotFound(
            f"--data {root}: no COCO captions found. Tried annotations/captions_{split}{{2017,2014}}.json, "
            f"annotations_trainval*/annotations/ and the folder itself.",
            hint="Pass --images DIR --captions FILE for another layout.",
        )
    return load_coco(*found, limit=limit, allow_missing=allow_missing)


def _parse(captions: Path) -> Any:
    """A checked pycocotools COCO object. The library itself accepts almost anything and prints to stdout."""
    try:
        raw = json.loads(captions.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(f"{captions}: no such file.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise LdmError(f"{captions} is not readable JSON: {error}") from error
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

    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = raw
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _clean(caption: object) -> str | None:
    """One line of text, or None if there is nothing to learn from."""
    if not isinstance(caption, str) or len(caption) > MAX_CAPTION_CHARS:
        return None
    text = " ".join(caption.split())
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair: JSON can hold it, no tokenizer takes it
        return None
    return text or None


def _inside(folder: Path, name: object, captions: Path) -> Path:
    """The path of a picture, which must lie inside the folder. Raises LdmError for anything that points elsewhere."""
    if isinstance(name, str) and name and "\0" not in name and "\\" not in name and not Path(name).is_absolute():
        path = folder / name
        with contextlib.suppress(ValueError):  # half a surrogate pair
            if path.resolve().is_relative_to(folder.resolve()):
                return path
    raise LdmError(f"{captions}: file_name {name!r} points outside {folder}; refused.")
