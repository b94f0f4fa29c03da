"""Which layout is this folder? The one place that recognises captioned pictures."""

from pathlib import Path

from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.coco import find_coco, load_coco
from ldmcli.data.folders import find_metadata, find_pictures_with_texts, load_metadata, load_sidecars
from ldmcli.data.karpathy import find_karpathy, load_karpathy
from ldmcli.data.shards import BRACES, find_shards, load_shards
from ldmcli.errors import NotFound, UsageError


def load_captioned(
    root: Path,
    *,
    split: str = "train",
    images: Path | None = None,
    captions: Path | None = None,
    limit: int | None = None,
    allow_missing: bool = False,
) -> CaptionedImages:
    """The pictures under `root`, or those that `images` and `captions` name; the result's `layout` says what was recognised.

    In this order: COCO, metadata.jsonl or .csv, a Karpathy split, tar shards, .txt beside the pictures.
    Raises NotFound with what was tried.
    """
    if captions and images:
        return _load_named(captions, images, split=split, limit=limit, allow_missing=allow_missing)
    if captions or images:
        raise UsageError("--images and --captions go together: the folder of pictures and the COCO captions file.")
    if not root.is_dir() and root.suffix != ".tar" and not BRACES.search(str(root)):
        raise NotFound(f"--data {root}: no such folder.", hint="Pass a folder with COCO pictures and annotations.")
    if found := find_coco(root, split):
        return load_coco(*found, limit=limit, allow_missing=allow_missing)
    if metadata := find_metadata(root, split):
        return load_metadata(metadata, metadata.parent, limit=limit, allow_missing=allow_missing)
    if karpathy := find_karpathy(root):
        return load_karpathy(karpathy, root, split=split, limit=limit, allow_missing=allow_missing)
    if shards := find_shards(root, split):
        return load_shards(root, shards, limit=limit)
    if pictures := find_pictures_with_texts(root):
        return load_sidecars(root, pictures, limit=limit)
    raise NotFound(
        f"--data {root}: no COCO captions found. Tried annotations/captions_{split}{{2017,2014}}.json, "
        "annotations_trainval*/annotations/ and the folder itself; then metadata.jsonl, metadata.csv, dataset*.json (Karpathy), "
        "*.tar (WebDataset) and .txt files beside pictures.",
        hint="Pass --images DIR --captions FILE for another layout.",
    )


def _load_named(captions: Path, images: Path, *, split: str, limit: int | None, allow_missing: bool) -> CaptionedImages:
    """--images and --captions: the file's name tells its kind."""
    if captions.suffix in (".jsonl", ".csv"):
        return load_metadata(captions, images, limit=limit, allow_missing=allow_missing)
    if captions.name.startswith("dataset"):
        return load_karpathy(captions, images, split=split, limit=limit, allow_missing=allow_missing)
    return load_coco(captions, images, limit=limit, allow_missing=allow_missing)
