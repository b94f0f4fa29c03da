"""--data that is a URL: shards, which are got one at a time when they are read, or any other folder, which is copied as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ldmcli.data.parquet import of_split
from ldmcli.data.shards import BRACES, expanded
from ldmcli.errors import NotFound
from ldmcli.records.words import counted
from ldmcli.runtime.remote import public
from ldmcli.runtime.remote_cache import local_folder
from ldmcli.runtime.remote_versions import files_below, version_of


@dataclass(frozen=True)
class RemoteData:
    """tars, parquet: URLs of shards, as paths; folder: a copy on this disk where there are none."""

    tars: list[Path] = field(default_factory=list)
    parquet: list[Path] = field(default_factory=list)
    folder: Path | None = None


def find_remote(url: str, split: str, *, copy: bool = True) -> RemoteData:
    """What is there: a shard, a range of shards, a folder with shards where a local one may have them, or another layout.

    copy: of a folder without shards; else nothing is found there.

    Raises NotFound for what is not there, LdmError for a folder that is larger than the cache.
    """
    if BRACES.search(url):
        return _shards(_present(url, expanded(url)))
    if url.endswith((".tar", ".parquet")):
        version_of(url)
        return _shards([url])
    root = url.rstrip("/")
    if copy and root.endswith((".jsonl", ".csv")):  # the pictures lie beside it
        folder, _, name = root.rpartition("/")
        return RemoteData(folder=local_folder(folder, files_below(folder)) / name)
    files = files_below(root)
    names = [file.url for file in files]
    tars = _in_folders(names, (root, f"{root}/{split}", f"{root}/shards"), ".tar")
    parquet = _in_folders(names, (root, f"{root}/data", f"{root}/{split}"), ".parquet")
    if tars or parquet:
        return RemoteData(_paths(tars), [] if tars else of_split(_paths(parquet), split))
    return RemoteData(folder=local_folder(root, files) if copy else None)


def _shards(urls: Sequence[str]) -> RemoteData:
    paths = _paths(urls)
    return RemoteData(parquet=paths) if urls[0].endswith(".parquet") else RemoteData(tars=paths)


def _paths(urls: Sequence[str]) -> list[Path]:
    return [Path(url) for url in urls]


def _in_folders(names: Sequence[str], folders: Sequence[str], ending: str) -> list[str]:
    """The shards of the first folder that has any."""
    for folder in folders:
        inside = [name for name in names if name.rpartition("/")[0] == folder and name.endswith(ending)]
        if found := sorted(name for name in inside if not name.rpartition("/")[2].startswith(".")):
            return found
    return []


def _present(url: str, names: list[str]) -> list[str]:
    """A range without gaps; its folder is listed once, unless that is a page of links. Raises NotFound."""
    folder = url[: BRACES.search(url).start()].rpartition("/")[0]  # type: ignore[union-attr]
    if url.startswith("http") or BRACES.search(folder):
        return names
    there = {file.url for file in files_below(folder)}
    gone = [name for name in names if name not in there]
    if gone:
        raise NotFound(
            f"--data {public(url)}: {len(gone)} of {counted(len(names), 'shard')} not there, {public(gone[0])} for one.",
            hint="Correct the range.",
        )
    return names
