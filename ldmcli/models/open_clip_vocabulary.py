"""CLIP's vocabulary from the one file that open_clip ships, bpe_simple_vocab_16e6.txt.gz. Imports no torch."""

import gzip
import io
import zlib
from pathlib import Path

from ldmcli.errors import LdmError
from ldmcli.models.added_tokens import END, START
from ldmcli.readers.json_text import WORDS_BYTES, read_limited

BPE_LINES = 49152 - 256 - 2 + 1
"""Of the file, which goes on with merges that CLIP does not use."""


def read_vocabulary(path: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Tokens with their numbers, and merges in order, from which the tokens follow (Radford et al. 2021). Raises LdmError."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(read_limited(path, WORDS_BYTES))) as file:
            lines = file.read(WORDS_BYTES).decode("utf-8").split("\n")
        merges = [(a, b) for a, b in (line.split() for line in lines[1:BPE_LINES])]
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise LdmError(f"{path} does not hold CLIP's vocabulary: {error}") from error
    letters = _letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *(a + b for a, b in merges), START, END]
    return {token: number for number, token in enumerate(tokens)}, merges


def _letters() -> list[str]:
    """A printable stand-in for every byte, those first that are printable themselves: the order of GPT-2's and CLIP's vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in printable] + [chr(256 + place) for place in range(256 - len(printable))]
