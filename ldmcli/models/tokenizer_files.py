"""What the files of a tokenizer say. Imports no torch, so that a vocabulary that cannot be is told at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from os.path import lexists
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from ldmcli.errors import LdmError, NotFound
from ldmcli.models.added_tokens import END, START, added, learned_tokens, special_tokens
from ldmcli.models.open_clip_vocabulary import read_vocabulary
from ldmcli.readers.json_text import WORDS_BYTES, read_json, read_limited
from ldmcli.readers.rules import Rule
from ldmcli.readers.tables import ADDED_NUMBERS, NUMBERS, SPECIAL_TOKENS, TOKENIZER, TOKENIZER_CONFIG

WHOLE, PARTS = "tokenizer.json", ("vocab.json", "merges.txt")
MORE = {"tokenizer_config.json": TOKENIZER_CONFIG, "special_tokens_map.json": SPECIAL_TOKENS, "added_tokens.json": ADDED_NUMBERS}
"""What may lie beside them, in either case."""


@dataclass(frozen=True)
class TokenizerFiles:
    """special, learned: see ClipTokenizer; pad: the token that fills up; length: positions that the files allow, where they say so."""

    vocab: dict[str, int]
    merges: list[tuple[str, str]]
    special: list[AddedToken]
    pad: str
    learned: dict[int, AddedToken] = field(default_factory=dict)
    length: float | None = None


def check_words(folder: Path) -> None:
    """Raise as `read_files`, which after this finds what was read here: CLIP's own vocabulary takes a tenth of a second."""
    _read(folder, _state(folder))


def read_files(folder: Path) -> TokenizerFiles:
    """Of a folder with CLIP's tokenizer files, or of the vocabulary file that open_clip ships.

    Raises NotFound that names missing files, LdmError for what is damaged or lacks a token that every prompt needs.
    """
    try:
        return _read(folder, _state(folder))
    finally:
        _read.cache_clear()  # megabytes


@contextmanager
def unfit(folder: Path) -> Iterator[None]:
    """Any failure in the block as an LdmError of the folder or file: the tokenizers library raises nothing more special than Exception."""
    try:
        yield
    except LdmError:
        raise
    except Exception as error:
        what = "CLIP's vocabulary" if folder.is_file() else "a CLIP tokenizer"
        raise LdmError(f"{folder} does not hold {what}: {str(error)[:200]!r}") from error


def _state(folder: Path) -> tuple[object, ...]:
    """Changes with every file that is written anew."""
    paths = [folder, *(folder / name for name in (WHOLE, *PARTS, *MORE))]
    stats = [path.stat() if path.exists() else None for path in paths]
    return tuple(stat and (stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats)


@lru_cache(maxsize=1)
def _read(folder: Path, state: tuple[object, ...]) -> TokenizerFiles:
    """state: what tells two readings apart."""
    if folder.is_file():
        vocab, merges = read_vocabulary(folder)
        return TokenizerFiles(vocab, merges, [added(START), added(END)], END)
    # transformers 5 writes tokenizer.json alone, everything before it the other two.
    names = (WHOLE,) if (folder / WHOLE).exists() else PARTS
    if missing := [name for name in names if not (folder / name).exists()]:
        raise NotFound(f"{folder} lacks {' and '.join(missing)}.", hint="Copy the CLIP tokenizer's files there.")
    with unfit(folder):
        whole = _json(folder / WHOLE, TOKENIZER) if names == (WHOLE,) else {}
        if whole:
            vocab = whole["model"]["vocab"]
            pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in whole["model"]["merges"]]
        else:
            vocab = _json(folder / PARTS[0], NUMBERS)
            lines = read_limited(folder / PARTS[1], WORDS_BYTES).decode("utf-8").replace("\r\n", "\n").split("\n")
            pairs = [line.split(" ") for line in lines if line and not line.startswith("#version")]
        config, legacy, numbers = (_json(folder / name, rule) for name, rule in MORE.items())
        saved = whole.get("added_tokens") or []
        special, pad = special_tokens(config, legacy, saved)
        learned = learned_tokens(config, saved, numbers, vocab)
        lacking = next((token for token in (START, END, pad) if token not in vocab), None)
        if lacking is not None:
            raise LdmError(f"{folder / names[0]}: the vocabulary lacks {lacking[:60]!r}, which starts, ends or pads every prompt.")
        return TokenizerFiles(vocab, [(a, b) for a, b in pairs], special, pad, learned, config.get("model_max_length"))


def _json(path: Path, rule: Rule) -> dict[str, Any]:
    return read_json(path, rule, most=WORDS_BYTES) if lexists(path) else {}
