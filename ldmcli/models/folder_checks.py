"""What can be wrong with a model folder and shows in its small files and headers: told at once, before torch is imported.

What is missing is told when it is read, unless source.py asks for it.
"""

import os
from pathlib import Path
from typing import Unpack

from ldmcli.errors import NotFound
from ldmcli.models.corrections import NETWORKS, network_config, read_config
from ldmcli.models.header import check_pickle, read_header
from ldmcli.models.layout import Picking, is_safetensors, read_json, weight_files
from ldmcli.readers.json_text import WORDS_BYTES, check_file
from ldmcli.readers.tables import ADDED_NUMBERS, SPECIAL_TOKENS, TOKENIZER_CONFIG

SMALL = {"tokenizer_config.json": TOKENIZER_CONFIG, "special_tokens_map.json": SPECIAL_TOKENS, "added_tokens.json": ADDED_NUMBERS}
LARGE = ("tokenizer.json", "vocab.json", "merges.txt")
"""Left to transformers; here their size is looked at."""


def check_configs(folder: Path, *parts: str) -> None:
    """Raise LdmError for a config that cannot be honoured: of these parts, else of all."""
    if parts in ((), ("scheduler",)) and os.path.lexists(folder / "scheduler" / "scheduler_config.json"):
        read_config(folder, "scheduler")
    for part in NETWORKS:
        if (not parts or part in parts) and os.path.lexists(folder / part / "config.json"):
            network_config(folder, part)


def check_headers(folder: Path, part: str, **picking: Unpack[Picking]) -> None:
    """Raise LdmError for weights files of a part that are damaged, cut off or would unpack, NotFound for pointers to such."""
    try:
        files = weight_files(folder, part, **picking)
    except NotFound:
        return
    for path in files:
        if is_safetensors(path):
            read_header(path)
        else:
            check_pickle(path)


def check_tokenizer(folder: Path) -> None:
    """Raise LdmError for settings of a tokenizer that transformers reads which cannot be, or a file that is far too large."""
    for name, rule in SMALL.items():
        if os.path.lexists(folder / name):
            read_json(folder / name, rule, most=WORDS_BYTES)
    for name in LARGE:
        if (folder / name).exists():
            check_file(folder / name, WORDS_BYTES)
