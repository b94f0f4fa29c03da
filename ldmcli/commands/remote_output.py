"""-o that is a URL: the command works in a folder on this disk, and what it makes is sent there as it goes."""

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path, PosixPath
from typing import Any

from ldmcli.config.sharing import find_shard
from ldmcli.errors import LdmError, PartlyFailed, UsageError
from ldmcli.outputs.naming import names_folder
from ldmcli.outputs.remote_folder import RemoteFolder
from ldmcli.records.events import Event
from ldmcli.records.notes import Saved
from ldmcli.records.pictures import GenerateReport, ImageRecord
from ldmcli.records.training import TrainDone
from ldmcli.runtime.urls import public, url_of

MANIFEST_EVERY, GROWN = 32, 1.1
"""The manifest is sent as a whole, so after so many pictures at least, and when it has grown by a tenth."""


class RemotePath(PosixPath):
    """A URL among paths that are printed; a plain Path has folded its slashes."""

    def __str__(self) -> str:
        return url_of(super().__str__()) or super().__str__()


class RemoteOutput:
    """Of one command. values: its options as they were read, whose `output` is put into a folder here; None where it is here already."""

    def __init__(self, command: str, values: dict[str, Any]) -> None:
        """Raises UsageError for a command that cannot send, and what getting the folder raises."""
        self.folder: RemoteFolder | None = None
        self.output: Any = values.get("output")
        url = url_of(self.output) if self.output is not None else None
        if url is None:
            return
        if command == "generate":
            inside = url.endswith("/") or names_folder(Path(url)) or bool(values.get("merge"))
            root, _, name = (url, "", "") if inside else url.rpartition("/")
            self.folder = RemoteFolder(root)
            self.output = f"{self.folder.local}/{name}"
        elif command in ("train-vae", "train-unet"):
            self.folder = RemoteFolder(url)
            self.output = self.folder.local
        else:
            raise UsageError(f"-o {public(url)}: {command} writes to this disk.", hint="Copy it there afterwards.")
        self.folder.get(whole=bool(values.get("resume") or values.get("merge")))  # both compare what is there with what belongs there

    def check_part(self, shard: str | None) -> None:
        """Raise UsageError where two parts of a job could get the same folder: each sends its own manifest as a whole."""
        if self.folder is None or shard is None:
            return
        part, end = find_shard(shard), re.search(r"[0-9]{1,9}$", self.folder.url)
        if end is None or int(end[0]) != part.number:
            url = public(self.folder.url)
            raise UsageError(
                f"--shard {shard}: {url} has to end in the number of the part; one folder for all would keep one manifest.",
                hint=f"Give each part its own, -o {url}/part-{part.number}/, then join them with --merge.",
            )

    def sent(self, events: Iterator[Event]) -> Iterator[Event]:
        """The same events, each when what it tells of has been sent, with the places there. A run that is stopped sends what it has."""
        if self.folder is None:
            yield from events
            return
        heard, pictures, due = False, 0, MANIFEST_EVERY
        try:
            for event in events:
                heard = True
                if isinstance(event, ImageRecord) and event.path.startswith(f"{self.folder.local}/"):
                    pictures += 1
                    manifest = [self.folder.manifest] if pictures >= due and self.folder.manifest.is_file() else []
                    self.folder.put(None if event.progress else [Path(event.path), *manifest])
                    due = max(pictures + MANIFEST_EVERY, int(GROWN * pictures)) if pictures >= due else due
                elif isinstance(event, GenerateReport | TrainDone) or (isinstance(event, Saved) and event.what == "model"):
                    self.folder.put()
                yield self._there(event)
        except LdmError as error:
            if heard:  # of several processes the first one speaks and writes
                self.folder.put()
            if isinstance(error, PartlyFailed):  # what could be made is there
                error.hint = error.hint.replace(str(self.folder.local), public(self.folder.url))
            raise
        if heard:
            self.folder.put()

    def _there(self, value: Any) -> Any:
        """The same with URLs for paths in the folder."""
        assert self.folder is not None
        here = str(self.folder.local)
        if isinstance(value, str | Path) and (str(value) == here or str(value).startswith(f"{here}/")):
            url = self.folder.url + str(value)[len(here) :]
            return url if isinstance(value, str) else RemotePath(url)
        if isinstance(value, list | tuple):
            return type(value)(map(self._there, value)) if type(value) in (list, tuple) else value
        if isinstance(value, dict):
            return {key: self._there(one) for key, one in value.items()}
        if is_dataclass(value) and not isinstance(value, type):
            changed = {field.name: self._there(getattr(value, field.name)) for field in fields(value)}
            return replace(value, **changed) if changed != {name: getattr(value, name) for name in changed} else value
        return value
