"""Which version of a remote file or folder is meant: asked once by every process, and written down for when there is no network."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from ldmcli.runtime import remote
from ldmcli.runtime.files import replace_file
from ldmcli.runtime.remote import RemoteFile

_known: dict[str, RemoteFile] = {}


def cache_folder() -> Path:
    """LDM_REMOTE_CACHE, else ldm/remote in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("LDM_REMOTE_CACHE") or f"{home}/ldm/remote").expanduser()


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
    note = note_of(what, url)
    if remote.offline() and note.is_file():
        return [RemoteFile(*row) for row in json.loads(note.read_text(encoding="utf-8"))]
    found = ask()
    replace_file(note, json.dumps([(file.url, file.size, file.tag) for file in found]))
    return found


def note_of(what: str, url: str) -> Path:
    """Where the last answer is kept. what: file or folder."""
    return cache_folder() / "known" / f"{digest(what, url.rstrip('/'))}.json"


def digest(*parts: object) -> str:
    """Names what these values are. 24 hex digits."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()
