"""Which layout is this folder? The one place that recognises captioned pictures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.coco import find_coco, load_coco
from ldmcli.data.endings import ending_of
from ldmcli.data.folders import find_metadata, load_metadata, load_metadata_below, load_sidecars, metadata_of
from ldmcli.data.karpathy import find_karpathy, is_karpathy, load_karpathy
from ldmcli.data.parquet import find_parquet, load_parquet
from ldmcli.data.remote_data import find_remote
from ldmcli.data.shards import BRACES, Keys, find_shards, load_shards
from ldmcli.data.survey import survey
from ldmcli.errors import NotFound, UsageError
from ldmcli.runtime.remote import public, url_of
from ldmcli.runtime.remote_cache import local_file, local_folder
from ldmcli.runtime.remote_versions import files_below

TABLES, SHARDS = (".jsonl", ".csv"), (".tar", ".parquet")


def load_captioned(
    root: Path,
    *,
    split: str = "train",
    images: Path | None = None,
    captions: Path | None = None,
    limit: int | None = None,
    allow_missing: bool = False,
    keys: Keys | None = None,
) -> CaptionedImages:
    """The pictures under `root`, or those that `images` and `captions` name; the result's `layout` says what was recognised.

    keys: which members of WebDataset shards are pictures and captions. Raises NotFound with what was tried, and UsageError for options
    that do not fit the layout.
    """
    if captions and images:
        folder = url_of(images)
        images = images if folder is None else local_folder(folder, files_below(folder))
        data = _load_named(local_file(captions), images, split=split, limit=limit, allow_missing=allow_missing)
    elif captions or images:
        raise UsageError("--images and --captions go together: the folder of pictures and the COCO captions file.")
    elif url := url_of(root):
        data = _load_remote(url, split, keys or Keys(), limit=limit, allow_missing=allow_missing)
    else:
        data = _load_local(root, split, keys or Keys(), limit=limit, allow_missing=allow_missing)
    if keys and not data.images[0].in_shard:
        raise UsageError(
            f"--image-key and --caption-key are for WebDataset shards and Parquet files; {data.source} is {data.layout}.",
            hint="Leave them out.",
        )
    return data


def _load_remote(url: str, split: str, keys: Keys, *, limit: int | None, allow_missing: bool) -> CaptionedImages:
    """Shards where they lie, any other layout from a copy."""
    found = find_remote(url, split)
    if found.tars:
        return load_shards(Path(url), found.tars, keys=keys, limit=limit)
    if found.parquet:
        return load_parquet(Path(url), found.parquet, keys=keys, limit=limit)
    assert found.folder is not None
    return replace(_load_local(found.folder, split, keys, limit=limit, allow_missing=allow_missing), source=public(url))


def _load_local(root: Path, split: str, keys: Keys, *, limit: int | None, allow_missing: bool) -> CaptionedImages:
    if root.is_file() and ending_of(root.name) in TABLES:
        return load_metadata(root, root.parent, limit=limit, allow_missing=allow_missing)
    return _load_found(root, split, keys, limit=limit, allow_missing=allow_missing)


def _load_found(root: Path, split: str, keys: Keys, *, limit: int | None, allow_missing: bool) -> CaptionedImages:
    """In this order: COCO, metadata.jsonl or .csv, Karpathy, tar shards, Parquet, .txt beside the pictures, metadata in folders below."""
    if root.is_file() and root.suffix not in SHARDS:
        raise UsageError(
            f"--data {root} is a file; a folder is needed.", hint="A COCO file goes with its pictures: --images DIR --captions FILE."
        )
    if not root.is_dir() and root.suffix not in SHARDS and not BRACES.search(str(root)):
        raise NotFound(f"--data {root}: no such folder.", hint="Pass a folder with COCO pictures and annotations.")
    if found := find_coco(root, split):
        return load_coco(*found, limit=limit, allow_missing=allow_missing)
    if metadata := find_metadata(root, split):
        data = load_metadata(metadata, metadata.parent, limit=limit, allow_missing=allow_missing)
        return _told(data, [file for file in survey(metadata.parent).metadata if file.parent != metadata.parent], metadata.name)
    if karpathy := find_karpathy(root):
        return load_karpathy(karpathy, root, split=split, limit=limit, allow_missing=allow_missing)
    if shards := find_shards(root, split):
        load = load_parquet if shards[0].suffix == ".parquet" else load_shards
        return load(root, shards, keys=keys, limit=limit)
    if parquet := find_parquet(root, split):
        return load_parquet(root, parquet, keys=keys, limit=limit)
    seen = survey(root)
    if seen.captioned:
        return _told(load_sidecars(root, seen, limit=limit, allow_missing=allow_missing), seen.metadata, ".txt captions")
    if own := metadata_of(root, split, seen.metadata):
        data = load_metadata_below(root, own, limit=limit, allow_missing=allow_missing)
        return _told(data, [file for file in seen.metadata if file not in own], "those of the training pictures")
    raise NotFound(
        f"--data {root}: no COCO captions found. Tried annotations/captions_{split}{{2017,2014}}.json, "
        "annotations_trainval*/annotations/ and the folder itself; then metadata.jsonl, metadata.csv, dataset*.json (Karpathy), "
        "*.tar (WebDataset), *.parquet and .txt files beside pictures.",
        hint="Pass --images DIR --captions FILE for another layout.",
    )


def _told(data: CaptionedImages, unread: Sequence[Path], instead: str) -> CaptionedImages:
    """With a sentence about captions that lie there too."""
    if not unread:
        return data
    more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
    return replace(data, problems=(*data.problems, f"{unread[0]}{more}: not read, but {instead}"))


def _load_named(captions: Path, images: Path, *, split: str, limit: int | None, allow_missing: bool) -> CaptionedImages:
    """--images and --captions: the file's name tells its kind."""
    if ending_of(captions.name) in TABLES:
        return load_metadata(captions, images, limit=limit, allow_missing=allow_missing)
    if captions.name.startswith("dataset") and captions.is_file() and is_karpathy(captions):
        return load_karpathy(captions, images, split=split, limit=limit, allow_missing=allow_missing)
    return load_coco(captions, images, limit=limit, allow_missing=allow_missing)
