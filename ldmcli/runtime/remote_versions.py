"""Which version of a remote file or folder is meant: asked once by every process, and written down for when there is no network."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from ldmcli.errors import LdmError
from ldmcli.readers.json_text import DATA_BYTES, read_json
from ldmcli.runtime import remote
from ldmcli.runtime.files import write_file
from ldmcli.runtime.remote import RemoteFile

_known: dict[str, RemoteFile] = {}


def cache_folder() -> Path:
    """LDM_REMOTE_CACHE, else ldm/remote in the user's cache folder; made where it is not there, for this user alone. Raises LdmError."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(os.environ.get("LDM_REMOTE_CACHE") or f"{home}/ldm/remote").expanduser()
    if not folder.is_dir():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise LdmError(f"cannot make {folder}: {error.strerror}.", hint="LDM_REMOTE_CACHE names another folder for copies.") from error
    return folder


def version_of(url: str) -> RemoteFile:
    """What a file is, asked once a process; offline what it was when it was asked last. Raises NotFound, LdmError."""
    if url not in _known:
        (_known[url],) = _remembered(url, "file", lambda: [remote.look_up(url)])
    return _known[url]


def files_below(url: str) -> list[RemoteFile]:
    """See remote.list_files; offline what was there when it was asked last."""
    found = _remembered(url, "folder", lambda: remote.list_files(url))
    _known.update({file.url: file for file in found})
    return found


def _remembered(url: str, what: str, ask: Callable[[], list[RemoteFile]]) -> list[RemoteFile]:
    note, root = note_of(what, url), url.rstrip("/")
    if remote.offline() and (noted := _read(note, root)):
        return noted
    found = ask()
    write_file(note, json.dumps([(file.url.removeprefix(root), file.size, file.tag) for file in found]))
    return found


def _read(note: Path, root: str) -> list[RemoteFile]:
    """What a note says; nothing where it is damaged, or was written by a version that noted whole URLs."""
    try:
        rows = read_json(note, most=DATA_BYTES)
        files = [RemoteFile(f"{root}{name}", size, tag) for name, size, tag in rows]
    except (LdmError, TypeError, ValueError):
        return []
    names = all(isinstance(name, str) and (name == "" or name.startswith("/")) for name, _, _ in rows)
    return files if names and all(isinstance(file.tag, str) and type(file.size) in (int, type(None)) for file in files) else []


def note_of(what: str, url: str) -> Path:
    """Where the last answer is kept. what: file or folder. It holds no URL."""
    return cache_folder() / "known" / f"{digest(what, url.rstrip('/'))}.json"


def digest(*parts: object) -> str:
    """Names what these values are. 24 hex digits."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()
