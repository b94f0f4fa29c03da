"""Karpathy's split of COCO and Flickr: one `dataset_*.json` with pictures, splits and sentences (Karpathy and Fei-Fei 2015)."""

import json
from pathlib import Path

from ldmcli.data.captioned import CaptionedImages, Collector, inside
from ldmcli.errors import LdmError, NotFound

SPLITS = {"train": ("train", "restval"), "val": ("val",)}
"""`restval` is the part of COCO's validation pictures that everybody trains on."""


def find_karpathy(root: Path) -> Path | None:
    """The split file, or None."""
    names = [path for folder in (root, root / "annotations") for path in sorted(folder.glob("dataset*.json"))]
    return next(iter(names), None)


def load_karpathy(
    captions: Path, pictures: Path, *, split: str = "train", limit: int | None = None, allow_missing: bool = False
) -> CaptionedImages:
    """The pictures of a split ("train" holds restval too), in the file's order. Raises LdmError, NotFound as load_coco does."""
    try:
        rows = json.loads(captions.read_text(encoding="utf-8"))["images"]
        wanted = [row for row in rows if row["split"] in SPLITS[split]][:limit]
        found = Collector()
        for number, row in enumerate(wanted):
            texts = [sentence.get("raw") for sentence in row["sentences"]]
            found.add(str(row.get("cocoid", row.get("imgid", number))), _place(pictures, row, captions), texts)
    except FileNotFoundError as error:
        raise NotFound(f"{captions}: no such file.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LdmError(f"{captions} is not a Karpathy split: {type(error).__name__}: {error}") from error
    return found.result(captions, "Karpathy split", pictures, allow_missing=allow_missing)


def _place(pictures: Path, row: dict[str, object], captions: Path) -> Path:
    """filepath/filename as the file says, or the name alone; under the folder or its images/."""
    name = row["filename"]
    names = [f"{row['filepath']}/{name}", name] if row.get("filepath") else [name]
    places = [inside(pictures, f"{part}{one}", captions) for part in ("", "images/") for one in names]
    return next((path for path in places if path.is_file()), places[0])
