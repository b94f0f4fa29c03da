"""Karpathy's split of COCO and Flickr: one `dataset_*.json` with pictures, splits and sentences (Karpathy and Fei-Fei 2015)."""

import re
from pathlib import Path

from ldmcli.data.captioned import CaptionedImages, Collector, inside, name_in
from ldmcli.data.text_file import read_json
from ldmcli.errors import LdmError

SPLITS = {"train": ("train", "restval"), "val": ("val",)}
"""`restval` is the part of COCO's validation pictures that everybody trains on."""
LISTS_PICTURES = re.compile(rb'"images"\s*:\s*\[')
LOOKED_AT = 1 << 16
"""Bytes of a file that tell what it is; a split has its pictures first."""


def find_karpathy(root: Path) -> Path | None:
    """The split file, or None. Others begin with `dataset` too: Hugging Face's dataset_infos.json, StyleGAN's dataset.json."""
    names = [path for folder in (root, root / "annotations") for path in sorted(folder.glob("dataset*.json"))]
    return next((path for path in names if is_karpathy(path)), None)


def is_karpathy(path: Path) -> bool:
    """Whether this file lists pictures, as a split does. COCO's own files do so too, and are known by their names before."""
    with path.open("rb") as file:
        return LISTS_PICTURES.search(file.read(LOOKED_AT).replace(b"\0", b"")) is not None  # UTF-16 too


def load_karpathy(
    captions: Path, pictures: Path, *, split: str = "train", limit: int | None = None, allow_missing: bool = False
) -> CaptionedImages:
    """The pictures of a split ("train" holds restval too), in the file's order. Raises LdmError, NotFound as load_coco does."""
    try:
        rows = read_json(captions)["images"]
        found = Collector()
        for number in (number for number, row in enumerate(rows) if not isinstance(row, dict)):
            found.skip(f"entry {number}", captions, "entry without a name or sentences")
        selected = [row for row in rows if isinstance(row, dict) and row["split"] in SPLITS[split]][:limit]
        for number, row in enumerate(selected):
            if name_in({"file_name": row["filename"]}) is None or not isinstance(row["sentences"], list):
                found.skip(str(row.get("cocoid", number)), captions, "entry without a name or sentences")
                continue
            texts = [sentence.get("raw") if isinstance(sentence, dict) else None for sentence in row["sentences"]]
            found.add(str(row.get("cocoid", row.get("imgid", number))), _place(pictures, row, captions), texts)
    except (KeyError, TypeError, AttributeError) as error:
        raise LdmError(f"{captions} is not a Karpathy split: {type(error).__name__}: {error}") from error
    return found.result(captions, "Karpathy split", pictures, allow_missing=allow_missing)


def _place(pictures: Path, row: dict[str, object], captions: Path) -> Path:
    """filepath/filename as the file says, or the name alone; under the folder or its images/."""
    name = row["filename"]
    names = [f"{row['filepath']}/{name}", name] if row.get("filepath") else [name]
    places = [inside(pictures, f"{part}{one}", captions) for part in ("", "images/") for one in names]
    return next((path for path in places if path.is_file()), places[0])
