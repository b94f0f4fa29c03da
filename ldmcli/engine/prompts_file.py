"""A prompts file or standard input: one prompt a line, or JSON Lines with options of their own. Imports no torch."""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from ldmcli.config.generation import GenerateConfig
from ldmcli.config.option import Option
from ldmcli.config.options import declared, find_key
from ldmcli.config.reading import read_data
from ldmcli.engine.jobs import Request, changed
from ldmcli.errors import LdmError, NotFound, UsageError
from ldmcli.records.pictures import FailedItem

PROMPT = Option(flags=(), field="prompt", help="What to draw.")
KEYS = ("prompt", *(name for name, each in declared(GenerateConfig).items() if each.per_prompt))
"""The keys of a JSON line, which are option names."""


def read_prompts(name: str, config: GenerateConfig) -> tuple[list[Request], list[FailedItem]]:
    """Every usable line, and every line that is not, with the reason.

    name: a path, or - for standard input; config: what the lines are silent about. Raises NotFound without a file and
    UsageError without any usable line, or with --strict on the first unusable one.
    """
    requests: list[Request] = []
    failed: list[FailedItem] = []
    for number, raw in _lines(name):
        try:
            request = _parse(number, raw, config)
        except UsageError as error:
            if config.strict:
                raise UsageError(
                    f"{_named(name)}, line {number}: {error.message}", hint="Without --strict the other lines are drawn."
                ) from error
            failed.append(FailedItem(line=number, prompt=None, error=error.message, exit_code=error.exit_code))
        else:
            if request is not None:
                requests.append(request)
    if not requests:
        reason = f"; line {failed[0].line}: {failed[0].error}" if failed else ""
        raise UsageError(f"{_named(name)} holds no usable prompt{reason}.", hint="One prompt a line, or JSON objects with a `prompt`.")
    return requests, failed


def _parse(number: int, raw: bytes, config: GenerateConfig) -> Request | None:
    """None for blank lines and comments."""
    if b"\0" in raw:
        raise UsageError("a NUL byte.")
    try:
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError as error:
        raise UsageError(f"not UTF-8: byte {error.object[error.start]:#x} at place {error.start + 1}.") from error
    if not text or text.startswith("#"):
        return None
    if not text.startswith("{"):
        return Request(text, config, line=number)
    try:
        body: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:  # its text would speak of a line 1
        raise UsageError(f"not JSON: {error.msg}, column {error.colno}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not JSON: {error}.") from error
    values: dict[str, Any] = {}
    for key, value in body.items():
        each = PROMPT if key == "prompt" else find_key(GenerateConfig, key)
        if each is None or not (each.per_prompt or each is PROMPT):
            raise UsageError(f"unknown key {key!r}; known: {', '.join(KEYS)}.")
        if isinstance(value, str) and "\0" in value:
            raise UsageError(f"a NUL character in {key}.")
        values[each.field] = read_data(each, value, key.replace("-", "_"))
    if "prompt" not in values:
        raise UsageError("there is no `prompt`.")
    prompt = values.pop("prompt")
    own = changed(config, {"seed": None, **values, "prompts": (prompt,)})
    return Request(prompt, own, own.seed, number)


def _lines(name: str) -> Iterator[tuple[int, bytes]]:
    try:
        if name != "-":
            with open(os.path.expanduser(name), "rb") as file:
                yield from enumerate(file, 1)
        elif sys.stdin is not None:  # None when it is closed
            yield from enumerate(sys.stdin.buffer, 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"--prompts-file {name}: no such file.") from error
    except IsADirectoryError as error:
        raise UsageError(f"--prompts-file {name} is a folder.") from error
    except OSError as error:
        raise LdmError(f"--prompts-file {name}: {error.strerror}.") from error


def _named(name: str) -> str:
    return "standard input" if name == "-" else name
