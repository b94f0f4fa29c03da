"""Which pictures and captions are scored. Imports no torch, so that mistakes in them are told at once."""

from dataclasses import dataclass
from pathlib import Path

from ldmcli.config.measuring import ClipScoreConfig
from ldmcli.data.picture_captions import Pairs, find_pairs, read_references
from ldmcli.engine.score.parts import without_doubles
from ldmcli.records.notes import Note
from ldmcli.runtime.launcher import process_count


@dataclass(frozen=True)
class Listing:
    """The pairs, and those of --compare behind them; the references of each pair; what is to be said."""

    sets: list[Pairs]
    references: dict[Path, list[str]] | None
    notes: list[Note]


def list_pairs(config: ClipScoreConfig) -> Listing:
    """Raises LdmError."""
    pairs, said = without_doubles(config.inputs, find_pairs(config.inputs, captions=config.captions, data=config.data, limit=config.limit))
    sets = [pairs]
    if config.compare is not None:
        sets.append(find_pairs((config.compare,), captions=config.captions, data=config.data if config.inputs else None))
    references, found = (None, "") if config.references is None else read_references(config.references, pairs)
    return Listing(sets, references, [*said, *([Note(found)] if found else [])])


def list_pairs_alone(config: ClipScoreConfig) -> Listing | None:
    """The same where one process scores. Several find each other first, so that what ends one ends all. Raises LdmError."""
    return list_pairs(config) if process_count() == 1 else None
