"""The one door for a stranger's JSON: how large, how deep, from what kind of file. What it may say is declared in `tables.py`.

Nothing else here calls json's own readers on what was not written by this very process (a test looks). Imports no torch.
"""

import json
import os
import stat
from itertools import chain
from pathlib import Path
from typing import Any

from ldmcli.errors import LdmError, NotFound
from ldmcli.readers.rules import Rule, check

MIB = 2**20
CONFIG_BYTES = MIB
"""Of a file of settings; real ones have a kilobyte or two."""
WORDS_BYTES = 8 * MIB
"""Of a tokenizer's file or a list of shards; CLIP's own, written with every merge on lines of its own, has four million."""
DATA_BYTES = 2**30
"""Of a file of captions; the largest of COCO has 90 million."""
DEPTH = 64
"""Brackets within brackets; real files have six."""


def read_limited(path: Path, most: int = CONFIG_BYTES) -> bytes:
    """The bytes of a file that `check_file` lets through. Raises as it does."""
    check_file(path, most)
    with path.open("rb") as file:
        return file.read(most)


def check_file(path: Path, most: int) -> None:
    """Raise LdmError for what is no regular file or has more bytes, and OSError for what the system refuses."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):  # opening a FIFO would wait for ever, a device never ends
        raise LdmError(f"{path} is {'a folder' if stat.S_ISDIR(found.st_mode) else 'no regular file'}.")
    if found.st_size > most:
        raise LdmError(f"{path} has {found.st_size} bytes; at most {most} are read.", hint="Is it the right file?")


def parse_json(text: str | bytes, where: str, rule: Rule | None = None, *, what: str = "") -> Any:
    """The body. where: the file, for messages; what: where in it, such as "line 3: ".

    Raises LdmError that names the file, and the key where a value is not what the rule wants.
    """
    try:
        body = json.loads(text)
        deep = deeper_than(body, DEPTH)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise LdmError(f"{where} is not readable JSON: {what}{reason}.") from error
    if deep:
        raise LdmError(f"{where} is not readable JSON: {what}it is nested more than {DEPTH} deep.")
    if rule is not None:
        check(body, rule, where)
    return body


def read_json(path: Path, rule: Rule | None = None, *, most: int = CONFIG_BYTES) -> Any:
    """The body of a file, UTF-8. Raises NotFound and LdmError; see `parse_json`."""
    try:
        text = read_limited(path, most).decode("utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"{path} is missing.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise LdmError(f"{path} is not readable JSON: {error}") from error
    return parse_json(text, str(path), rule)


def deeper_than(body: Any, most: int) -> bool:
    """Whether lists and objects stand within each other more than so many times. Level by level, so that no stack grows."""
    level = [body]
    for _ in range(most + 1):
        containers = [each for each in level if type(each) in (dict, list)]
        if not containers:
            return False
        level = list(chain.from_iterable(each.values() if type(each) is dict else each for each in containers))
    return True
