"""A prompts file or standard input: one prompt a line, or JSON Lines with options of their own. Imports no torch."""

import io
import json
import os
import stat
import sys
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

from ldmcli.config.bounds import check_value
from ldmcli.config.generation import GenerateConfig, check_prompt
from ldmcli.config.option import Option
from ldmcli.config.options import declared, find_key
from ldmcli.config.reading import read_data
from ldmcli.config.starting import refuse_senseless
from ldmcli.data.text_file import decoded_lines, mark_of, undecodable
from ldmcli.engine.jobs import changed
from ldmcli.engine.requests import Request, RequestList
from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.prompts.comments import comment_note
from ldmcli.prompts.length import MOST_CHARACTERS, length_note
from ldmcli.records.pictures import FailedItem
from ldmcli.runtime.remote_cache import opened
from ldmcli.runtime.urls import public

MOST_BYTES, MOST_LINE_BYTES, BLOCK_BYTES = 2**28, 2**24, 2**16
"""Of a file, which is a million prompts of 250 letters, and of a line; a longer one is taken for several. Of what is decoded at a time."""

SEED = declared(GenerateConfig)["seed"]
PROMPT = Option(flags=(), field="prompt", help="What to draw.")
KEYS = ("prompt", *(name for name, each in declared(GenerateConfig).items() if each.per_prompt))
"""The keys of a JSON line, which are option names."""


@dataclass(frozen=True)
class Prompts:
    """Every usable line, and every line that is not, with the reason. notes: what else is to be said."""

    requests: RequestList
    failed: list[FailedItem]
    notes: list[str]


def read_prompts(name: str, config: GenerateConfig, requests: RequestList | None = None) -> Prompts:
    """name: a path, or - for standard input; config: what the lines are silent about; requests: which those of the file are added to.

    Raises NotFound without a file, LdmError for one in an encoding that is neither UTF-8 nor UTF-16 with its mark, and UsageError without
    any usable line, or with --strict on the first unusable one.
    """
    requests = RequestList() if requests is None else requests
    lines, before = _LineReader(config), len(requests)
    failed: list[FailedItem] = []
    comments = array("I")
    for number, raw in enumerate(_lines(name), 1):
        if raw.lstrip().startswith(b"#"):
            comments.append(number)
            continue
        try:
            request = lines.read(number, raw)
        except (NotFound, UsageError) as error:
            if config.strict:
                raise UsageError(
                    f"{_named(name)}, line {number}: {error.message}", hint="Without --strict the other lines are drawn."
                ) from error
            failed.append(FailedItem(line=number, prompt=None, error=error.message, exit_code=error.exit_code))
        else:
            if request is not None:
                requests.append(request)
    if len(requests) == before:
        reason = f"; line {failed[0].line}: {failed[0].error}" if failed else ""
        raise UsageError(f"{_named(name)} holds no usable prompt{reason}.", hint="One prompt a line, or JSON objects with a `prompt`.")
    return Prompts(requests, failed, [*([comment_note(_named(name), comments)] if comments else []), *lines.cut])


class _LineReader:
    """Lines to requests; those with the same options share their settings. cut: a note of each prompt that is too long."""

    def __init__(self, config: GenerateConfig) -> None:
        self.config = config
        self.cut: list[str] = []
        self._known: dict[str, GenerateConfig] = {}

    def read(self, number: int, raw: bytes) -> Request | None:
        """None for a blank line. Raises NotFound and UsageError."""
        if b"\0" in raw:
            raise UsageError("a NUL byte.")
        try:
            text = raw.decode().strip()
        except UnicodeDecodeError as error:
            raise UsageError(undecodable(error)) from error
        if not text:
            return None
        if not text.startswith("{"):
            refuse_senseless(self.config)
            return Request(self._shortened(text, number), self.config, line=number)
        values = _values(text)
        if "prompt" not in values:
            raise UsageError("there is no `prompt`.")
        prompt = self._shortened(values.pop("prompt"), number)
        check_prompt(prompt)
        seed = values.pop("seed", None)
        return Request(prompt, self._settings(values, seed), seed, number)

    def _settings(self, values: dict[str, Any], seed: int | None) -> GenerateConfig:
        """Checked once for all lines that say the same; seeds, of which each line may have another, are no part of it."""
        check_value(SEED, seed)
        key = repr(sorted(values.items()))
        if key not in self._known:
            own = changed(self.config, values) if values else self.config
            refuse_senseless(own, line=values)
            self._known[key] = own
        return self._known[key]

    def _shortened(self, prompt: str, number: int) -> str:
        """As much of a prompt as is read. Raises UsageError with --strict."""
        if len(prompt) > MOST_CHARACTERS:
            if self.config.strict:
                raise UsageError(f"{length_note(len(prompt))}.")
            self.cut.append(f"line {number}: {length_note(len(prompt))}")
        return prompt[:MOST_CHARACTERS]


@lru_cache
def _option(key: str) -> Option | None:
    """What a key means in a line; looking is slow."""
    each = PROMPT if key == "prompt" else find_key(GenerateConfig, key)
    return each if each is not None and (each.per_prompt or each is PROMPT) else None


def _values(text: str) -> dict[str, Any]:
    """The fields that a JSON line sets, `prompt` among them. Raises UsageError."""
    try:
        body: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:  # its text would speak of a line 1
        raise UsageError(f"not JSON: {error.msg}, column {error.colno}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}.") from error
    values: dict[str, Any] = {}
    for key, value in body.items():
        each = _option(key)
        if each is None:
            raise UsageError(f"unknown key {key!r}; known: {', '.join(KEYS)}.")
        if isinstance(value, str) and "\0" in value:
            raise UsageError(f"a NUL character in {key}.")
        values[each.field] = read_data(each, value, key.replace("-", "_"))
    return values


def _lines(name: str) -> Iterator[bytes]:
    """The lines as UTF-8, one that is not among them: it shall stop no other. Never more than one of them is in memory."""
    with _opened(name) as file:
        first = file.readline(MOST_LINE_BYTES)
        mark, encoding = mark_of(first)
        if encoding != "utf-8":
            yield from decoded_lines(_pieces(first, partial(file.read, BLOCK_BYTES), name), _named(name), most_bytes=MOST_LINE_BYTES)
            return
        for line in _pieces(first, partial(file.readline, MOST_LINE_BYTES), name):
            yield line.removeprefix(mark).removesuffix(b"\n")
            mark = b""


def _pieces(first: bytes, read: Callable[[], bytes], name: str) -> Iterator[bytes]:
    """What is read, piece by piece. Raises UsageError for a file that has no end."""
    piece, count = first, 0
    while piece:
        count += len(piece)
        if count > MOST_BYTES:
            raise UsageError(f"{_named(name)} does not end: more than {MOST_BYTES} bytes.", hint="Cut it into several files.")
        yield piece
        piece = read()


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """The file, or standard input, which is empty when it is closed. Raises NotFound, UsageError, LdmError."""
    path = os.path.expanduser(name)
    try:
        if name == "-":
            yield sys.stdin.buffer if sys.stdin is not None else io.BytesIO()
            return
        with opened(Path(path)) as file:
            kind = os.fstat(file.fileno()).st_mode
            if stat.S_ISBLK(kind) or (stat.S_ISCHR(kind) and not file.isatty()):
                raise UsageError(
                    f"--prompts-file {public(name)} is a device, which has no end.", hint="Name a file, or - for standard input."
                )
            yield file
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"--prompts-file {public(name)}: no such file.") from error
    except IsADirectoryError as error:
        raise UsageError(f"--prompts-file {public(name)} is a folder.") from error
    except OSError as error:
        raise LdmError(f"--prompts-file {public(name)}: {error.strerror}.") from error


def _named(name: str) -> str:
    return "standard input" if name == "-" else public(name)
