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
from ldmcli.runtime import remote
from ldmcli.runtime.remote_cache import fetch_into
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

    @property
    def manifest(self) -> Path:
        """Of pictures."""
        return self.local / MANIFEST

    def get(self, *, whole: bool) -> None:
        """Bring the folder here up to date. whole: with all files; else with their names, and the manifest. Raises LdmError."""
        self.local.mkdir(parents=True, exist_ok=True)
        with self._alone():
            self.sent = _read(self.local / LIST)
            there = {file.url[len(self.url) + 1 :]: file for file in remote.list_files(self.url, empty=True)}
            for name in [name for name in self.sent if name not in there]:  # deleted there
                (self.local / name).unlink(missing_ok=True)
                del self.sent[name]
            for name, file in there.items():
                before, content = self.sent.get(name), whole or name == MANIFEST
                if before is not None and before.tag == file.tag and (not content or not before.empty):
                    continue  # as we left it, or ahead of it by what was not sent any more
                path = self.local / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if content:
                    fetch_into(file, path)
                else:
                    path.write_bytes(b"")
                self._note(name, file.tag, empty=not content)

    def put(self, paths: Iterable[Path] | None = None) -> None:
        """Send these files, or all that are new or changed, and then delete there what was deleted here. Raises LdmError."""
        names = self._names() if paths is None else [str(path.relative_to(self.local)) for path in paths]
        for name in sorted(names, key=lambda name: (LAST.index(base) + 1 if (base := os.path.basename(name)) in LAST else 0, name)):
            if self._changed(name):
                try:
                    remote.store(self.local / name, f"{self.url}/{name}")
                except LdmError as error:
                    raise LdmError(
                        error.message, hint=f"What was made is in {self.local}; the same command with --resume sends it."
                    ) from error
                self._note(name, remote.look_up(f"{self.url}/{name}").tag)
        if paths is None:
            for name in sorted(self.sent.keys() - set(names)):
                remote.remove(f"{self.url}/{name}")
                del self.sent[name]
                self._write({"name": name})

    def _names(self) -> list[str]:
        found = []
        for folder, below, files in os.walk(self.local):
            here = Path(folder).relative_to(self.local)
            below[:] = [name for name in below if not name.startswith(".") and not (here == Path() and name in KEPT_HERE)]
            found += [str(here / name) for name in files if not name.startswith(".") or name in HIDDEN_BUT_SENT]
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
        with self.local.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # whoever holds it ends, by the time limits of its requests
            yield


def _read(path: Path) -> dict[str, Sent]:
    """The newest line of each name; one that a kill cut short says nothing."""
    found: dict[str, Sent] = {}
    for line in path.read_bytes().split(b"\n") if path.is_file() else ():
        try:
            row = json.loads(line)
            name = row.pop("name")
            if row:
                found[name] = Sent(**row)
            else:
                found.pop(name, None)
        except (ValueError, TypeError, AttributeError, KeyError):
            continue
    return found
