"""Captions encoded once, and kept: every position, or only the real tokens where the model is not to see pads."""

import hashlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import torch
from torch import Tensor

from ldmcli.data.cache import Entry, filled
from ldmcli.data.fingerprints import fingerprint
from ldmcli.data.process_group import ProcessGroup
from ldmcli.data.row_sources import RowSource
from ldmcli.data.row_views import Ragged
from ldmcli.engine.train.initial_weights import FrozenNetworks
from ldmcli.models.layout import component_folder
from ldmcli.models.tokenizer import Tokens
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Progress

# M captions, L positions, D width


def encode_captions(
    cache: Path,
    captions: list[str],
    tokens: list[Tokens],
    frozen: FrozenNetworks,
    states: Callable[[Tensor], dict[str, Tensor]],
    process_group: ProcessGroup,
    at_once: int,
) -> Generator[Event, None, RowSource]:
    """`states` of every caption, (M, L, D), computed for `at_once` of them together. Where pads are hidden, only the tokens before them are
    kept, and zeros stand for the pads.
    """
    key = (*captions, weights_fingerprint(frozen.text_path, "text_encoder"), weights_fingerprint(frozen.tokenizer, "."))
    if not frozen.text.use_mask:
        name = f"text-{fingerprint(*key)}"
        entry = yield from forward_progress(
            filled(cache / name, len(captions), at_once, lambda a, b: states(torch.arange(a, b)), "encode captions", process_group)
        )
        return entry.arrays["states"]
    lengths = torch.tensor([t.length for t in tokens])

    def real(first: int, last: int) -> dict[str, Tensor]:
        rows = torch.arange(first, last)
        padded = states(rows)["states"]  # (B, L, D)
        return {"states": padded[(torch.arange(padded.shape[1]) < lengths[rows, None]).to(padded.device)]}

    starts = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    name = f"text-{fingerprint('real tokens', *key)}"
    entry = yield from forward_progress(filled(cache / name, len(captions), at_once, real, "encode captions", process_group, starts=starts))
    return Ragged(entry.arrays["states"], lengths, len(tokens[0].ids))


def weights_fingerprint(source: Path, name: str) -> str:
    """A fingerprint of a component by content: of the files in its folder, or of the checkpoint file that holds it."""
    digest = hashlib.blake2b(digest_size=8)
    for path in [source] if source.is_file() else sorted(p for p in component_folder(source, name).iterdir() if p.is_file()):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()


def forward_progress(events: Iterator[Progress | Note | Entry]) -> Generator[Event, None, Entry]:
    """Pass progress on; returns the entry that comes last."""
    for event in events:
        if isinstance(event, Entry):
            return event
        yield event
    raise AssertionError("a cache ends with its entry")
