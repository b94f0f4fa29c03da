"""Copies of remote files on this disk: whole or not there, of one version each, and no more of them than CACHE_GB.

An entry is a folder with the file, or the files, in it. Whoever makes or deletes one holds its lock alone; whoever needs it to stay
shares the lock until the process ends. A file that was opened can be read to its end although its entry is deleted meanwhile.
"""

import fcntl
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO

from ldmcli.errors import LdmError, NotFound
from ldmcli.runtime import remote
from ldmcli.runtime.files import open_lock
from ldmcli.runtime.remote import RemoteFile
from ldmcli.runtime.remote_versions import cache_folder, digest, files_below, note_of, version_of
from ldmcli.runtime.urls import public, url_of
from ldmcli.runtime.waiting import until_got

CACHE_GB = 20.0
"""Where LDM_REMOTE_CACHE_GB does not say otherwise."""
OPENED = 10
"""How often a copy is made again that is gone before it is opened."""

_held: dict[str, IO[str]] = {}
"""Locks that this process keeps until its end, by entry."""


def cache_bytes() -> int:
    """How much may lie there. Raises LdmError."""
    text = os.environ.get("LDM_REMOTE_CACHE_GB") or str(CACHE_GB)
    try:
        return int(float(text) * 1e9)
    except (ValueError, OverflowError) as error:
        raise LdmError(f"LDM_REMOTE_CACHE_GB={text}: a number of gigabytes is needed.") from error


def opened(path: Path) -> BinaryIO:
    """Open a file for reading, wherever it lies; a remote one is got as a whole, if it is not here. Raises OSError, LdmError."""
    url = url_of(path)
    if url is None:
        return path.open("rb")
    file = version_of(url)
    for _ in range(OPENED):
        copy = _copied([file], [_name(file)], hold=False) / _name(file)
        with suppress(FileNotFoundError):  # deleted in this moment, to make room for another
            return copy.open("rb")
    raise LdmError(f"{public(url)}: its copy is deleted again and again.", hint="LDM_REMOTE_CACHE_GB gives the copies more room.")


def fetch_into(file: RemoteFile, path: Path) -> None:
    """Get a file to a place of its own, whole or not at all. Raises LdmError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        remote.fetch(file, part)
        os.replace(part, path)
    except OSError as error:
        raise LdmError(f"cannot write {path}: {error.strerror or error}.", hint="Is the disk full?") from error
    finally:
        part.unlink(missing_ok=True)


def size_and_time(path: Path) -> tuple[int, object]:
    """Of a file wherever it lies: its bytes, and what changes when it is written anew. Raises OSError, LdmError."""
    url = url_of(path)
    if url is None:
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    file = version_of(url)
    return file.size or 0, file.tag


def local_file(path: Path) -> Path:
    """The file itself, or the copy of a remote one, which stays until this process ends. Raises NotFound, LdmError."""
    url = url_of(path)
    if url is None:
        return path
    file = version_of(url)
    return _copied([file], [_name(file)], hold=True) / _name(file)


def local_copy(name: str | Path) -> Path:
    """As local_file; of a folder, copies of all that is in it."""
    url = url_of(name)
    if url is None:
        return Path(name)
    try:
        return local_file(Path(url))
    except NotFound:
        if remote.offline() and not note_of("folder", url).is_file():
            raise
        return local_folder(url, files_below(url))


def local_folder(url: str, files: Sequence[RemoteFile]) -> Path:
    """Copies of these files below `url`, in folders as there, which stay until this process ends. Raises LdmError."""
    start = len(url.rstrip("/")) + 1
    return _copied(files, [file.url[start:] for file in files], hold=True)


def _copied(files: Sequence[RemoteFile], names: Sequence[str], *, hold: bool) -> Path:
    """The entry with these files. hold: until the process ends."""
    key = digest(*((file.url, file.size, file.tag) for file in files))
    entry = cache_folder() / "entries" / key
    if key in _held:
        return entry
    lock, temporary = _lock(key), _temporary(entry)
    try:
        until_got(lock, fcntl.LOCK_SH, files[0].url, temporary)
        while not _whole(entry, files, names):
            fcntl.flock(lock, fcntl.LOCK_UN)  # two that share it would wait for each other
            alone = until_got(lock, fcntl.LOCK_EX, files[0].url, temporary, unless=lambda: _whole(entry, files, names))
            if alone and not _whole(entry, files, names):
                shutil.rmtree(entry, ignore_errors=True)
                _make(entry, files, names)
            until_got(lock, fcntl.LOCK_SH, files[0].url, temporary)
        os.utime(entry)
        if hold:
            _held[key] = lock
    finally:
        if not hold:
            lock.close()
    return entry


def _whole(entry: Path, files: Sequence[RemoteFile], names: Sequence[str]) -> bool:
    """Whether all files are there as large as they are said to be."""
    try:
        return all((entry / name).stat().st_size == file.size for file, name in zip(files, names, strict=True))
    except OSError:
        return False


def _make(entry: Path, files: Sequence[RemoteFile], names: Sequence[str]) -> None:
    """Under another name first."""
    temporary = _temporary(entry)
    shutil.rmtree(temporary, ignore_errors=True)
    needed, most = sum(file.size or 0 for file in files), cache_bytes()
    if needed > most:
        raise LdmError(
            f"{public(files[0].url)}{' and the files beside it' if len(files) > 1 else ''}: {needed / 1e9:.3g} GB, more than the cache of "
            f"{most / 1e9:.3g} GB.", hint="LDM_REMOTE_CACHE_GB makes it larger; or use tar or Parquet shards, which are got one at a time.",
        )  # fmt: skip
    _make_room(entry.parent, most - needed)
    try:
        temporary.mkdir(parents=True)
        for file, name in zip(files, names, strict=True):
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            remote.fetch(file, temporary / name)
        os.replace(temporary, entry)
    except OSError as error:
        raise LdmError(f"{entry.parent}: {error.strerror or error}.", hint="LDM_REMOTE_CACHE names another folder for copies.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary(entry: Path) -> Path:
    return entry.with_name(f"{entry.name}.tmp")


def _make_room(entries: Path, most: int) -> None:
    """Delete what nobody holds, the longest unused first, until no more than `most` bytes are left; and what killed processes left."""
    found = []
    for entry in entries.iterdir() if entries.is_dir() else ():
        try:
            found.append((entry.suffix != ".tmp", entry.stat().st_mtime, _bytes(entry), entry))
        except OSError:  # another one has deleted it
            continue
    used = sum(size for _, _, size, _ in found)
    for whole, _, size, entry in sorted(found):
        if whole and used <= most:
            break
        with _lock(entry.stem) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(entry, ignore_errors=True)
            used -= size


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _lock(key: str) -> IO[str]:
    """Raises LdmError for what the system refuses."""
    locks = cache_folder() / "locks"
    try:
        locks.mkdir(parents=True, exist_ok=True)
        return open_lock(locks / key)
    except OSError as error:
        raise LdmError(f"{locks}: {error.strerror or error}.", hint="LDM_REMOTE_CACHE names another folder for copies.") from error


def _name(file: RemoteFile) -> str:
    """Of the copy: the last part of the URL, whose ending tells what it is."""
    return file.url.partition("?")[0].rstrip("/").rpartition("/")[2] or "file"
