"""Results that belong on another machine: made in a folder on this disk, and sent as whole files, what vouches for others last.

The folder is kept, so that what could not be sent is sent by the next run, and --resume on this machine gets nothing back. A list beside
the files says what was sent in which version, and which names are only taken there.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ldmcli.errors import LdmError
from ldmcli.readers.json_text import parse_json
from ldmcli.runtime import remote
from ldmcli.runtime.files import open_lock
from ldmcli.runtime.remote import RemoteFile
from ldmcli.runtime.remote_cache import fetch_into, until_got
from ldmcli.runtime.remote_versions import cache_folder, digest

LIST = ".ldm-sent.jsonl"
MANIFEST = "manifest.jsonl"
LAST = ("model_index.json", "config.toml", "manifest.json", MANIFEST)
"""Names of files that say of others that they are there."""
KEPT_HERE = ("cache",)
"""Folders that are of use to this machine alone."""
HIDDEN_BUT_SENT = (".owed.json",)


@dataclass(frozen=True)
class Sent:
    """A file as it was when it was sent or got. size, time: of ours; tag: of theirs; empty: only the name is here."""

    size: int
    time: int
    tag: str
    empty: bool = False


class RemoteFolder:
    """`url` and its folder here, which is `local`. One run at a time may write there."""

    def __init__(self, url: str) -> None:
        """Raises UsageError for what cannot be written to."""
        remote.check_writable(url)
        self.url = url.rstrip("/")
        self.local = cache_folder() / "outputs" / digest(self.url) / (self.url.rpartition("/")[2] or "out")
        self.sent: dict[str, Sent] = {}
        self.had: set[str] = set()

    @property
    def manifest(self) -> Path:
        """Of pictures."""
        return self.local / MANIFEST

    def get(self, *, whole: bool) -> None:
        """Bring the folder here up to date. whole: with all files; else with their names, and the manifest. Raises LdmError."""
        self.local.mkdir(parents=True, exist_ok=True)
        with self._alone():
            self.sent = {name: sent for name, sent in _read(self.local / LIST).items() if _is_ours(name)}
            listed = {file.url[len(self.url) + 1 :]: file for file in remote.list_files(self.url, empty=True)}
            there = {name: file for name, file in listed.items() if _is_ours(name)}
            for name in [name for name in self.sent if name not in there]:  # deleted there
                (self.local / name).unlink(missing_ok=True)
                del self.sent[name]
            for name, file in there.items():
                self._get(name, file, content=whole or name == MANIFEST)
            self.had = set(self._names())

    def _get(self, name: str, file: RemoteFile, *, content: bool) -> None:
        """content: of the file; else only its name is taken here, by an empty file."""
        path, before = self.local / name, self.sent.get(name)
        if before is not None and before.tag == file.tag and path.exists() and (not content or not before.empty):
            return  # as we left it, or ahead of it by what was not sent any more
        path.parent.mkdir(parents=True, exist_ok=True)
        if content:
            fetch_into(file, path)
        elif not path.exists():
            path.touch()  # which never empties what comes in this moment
        elif path.stat().st_size:  # what was made here and is not sent yet
            return
        self._note(name, file.tag, empty=not content)

    def put(self, paths: Iterable[Path] | None = None) -> None:
        """Send these files, or all that are new or changed, and then delete there what was deleted here. Raises LdmError."""
        names = self._names() if paths is None else [str(path.relative_to(self.local)) for path in paths]
        for name in sorted(names, key=lambda name: (LAST.index(base) + 1 if (base := os.path.basename(name)) in LAST else 0, name)):
            if self._changed(name):
                self._send(name)
        if paths is None:
            for name in sorted(self.had - set(names)):
                self._delete_there(name)

    def _send(self, name: str) -> None:
        try:
            with self._alone():
                remote.store(self.local / name, f"{self.url}/{name}")
                self._note(name, remote.look_up(f"{self.url}/{name}").tag)
        except LdmError as error:
            hint = f"What was made is in {self.local}; the same command with --resume sends it."
            raise LdmError(error.message, hint=hint) from error
        self.had.add(name)

    def _delete_there(self, name: str) -> None:
        """What this run has had, and has removed; of what only the name was here, nothing is known."""
        sent = self.sent.pop(name, None)
        self.had.discard(name)
        if sent is not None and not sent.empty:
            remote.remove(f"{self.url}/{name}")
            self._write({"name": name})

    def _names(self) -> list[str]:
        found = []
        for folder, below, files in os.walk(self.local):
            here = Path(folder).relative_to(self.local)
            below[:] = [name for name in below if _is_ours(str(here / name))]
            found += [name for file in files if _is_ours(name := str(here / file))]
        return found

    def _changed(self, name: str) -> bool:
        status, before = (self.local / name).stat(), self.sent.get(name)
        return before is None or (before.size, before.time) != (status.st_size, status.st_mtime_ns)

    def _note(self, name: str, tag: str, *, empty: bool = False) -> None:
        status = (self.local / name).stat()
        self.sent[name] = Sent(status.st_size, status.st_mtime_ns, tag, empty)
        self._write({"name": name, **asdict(self.sent[name])})

    def _write(self, row: dict[str, object]) -> None:
        with (self.local / LIST).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Several processes of one run begin at once; the first one gets, the others find it done."""
        with open_lock(self.local.with_name(f"{self.local.name}.lock")) as lock:
            until_got(lock, fcntl.LOCK_EX, self.url, self.local)
            yield


def _is_ours(name: str) -> bool:
    """Whether a run would make a file or folder of this name and send it; nothing else there is got, changed or deleted."""
    parts = name.split("/")
    hidden = any(part.startswith(".") for part in parts[:-1]) or (parts[-1].startswith(".") and parts[-1] not in HIDDEN_BUT_SENT)
    return not hidden and parts[0] not in KEPT_HERE


def _read(path: Path) -> dict[str, Sent]:
    """The newest line of each name; one that a kill cut short says nothing."""
    found: dict[str, Sent] = {}
    for line in path.read_bytes().split(b"\n") if path.is_file() else ():
        try:
            row = parse_json(line, str(path))
            name = row.pop("name")
            if row:
                found[name] = Sent(**row)
            else:
                found.pop(name, None)
        except (LdmError, TypeError, AttributeError, KeyError):
            continue
    return found
