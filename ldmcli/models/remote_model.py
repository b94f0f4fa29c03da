"""Models that lie behind a URL: copied once, and of a folder only the files that are read. Imports no torch."""

from collections.abc import Collection
from fnmatch import fnmatch
from pathlib import Path
from typing import Unpack

from ldmcli.errors import LdmError
from ldmcli.models.hub import files_to_get
from ldmcli.models.layout import NO_PICKLE, Picking, is_pickle, is_safetensors, shard_names
from ldmcli.runtime.remote import public
from ldmcli.runtime.remote_cache import local_file, local_folder
from ldmcli.runtime.remote_versions import files_below


def remote_model(url: str, parts: Collection[str], **picking: Unpack[Picking]) -> tuple[str, Path]:
    """The name of a model and the copy of its file, or of the folder with these parts. Raises NotFound, LdmError for a pickle."""
    path = Path(url)
    if is_pickle(path) and not picking.get("allow_pickle"):
        raise LdmError(f"{public(url)} is a pickle, which can run code when loaded; refused.", hint=NO_PICKLE)
    if is_pickle(path) or is_safetensors(path):
        copy = local_file(path)
        return copy.stem, copy
    root = url.rstrip("/")
    name, start = public(root).rpartition("/")[2], len(root) + 1
    files = {file.url[start:]: file for file in files_below(root)}
    if any(place.startswith("model/") for place in files):  # a training run
        root, files = f"{root}/model", {place.removeprefix("model/"): file for place, file in files.items() if place.startswith("model/")}
    wanted = dict.fromkeys(files_to_get(files, parts, url, **picking))
    for place in [place for place in wanted if ".index." in place]:
        folder = place.rpartition("/")[0]
        wanted |= dict.fromkeys(f"{folder}/{shard}".lstrip("/") for shard in shard_names(local_file(Path(files[place].url))))
    return name, local_folder(root, [files[place] for place in wanted if place in files])


def remote_files(url: str, patterns: Collection[str]) -> Path:
    """Copies of the files of a folder whose names are like one of these."""
    return local_folder(url, [file for file in files_below(url) if any(fnmatch(file.url, pattern) for pattern in patterns)])
