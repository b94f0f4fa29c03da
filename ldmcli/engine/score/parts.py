"""Several folders of one `generate` job, as --shard makes them, scored as the one folder that they are parts of."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ldmcli.data.picture_captions import Pairs
from ldmcli.outputs.joining import join, parts_of_one, ranges
from ldmcli.outputs.manifest import MOST_NUMBERS
from ldmcli.records.notes import Note
from ldmcli.records.words import counted


def without_doubles(inputs: Sequence[Path], pairs: Pairs) -> tuple[Pairs, list[Note]]:
    """The pairs with each picture of a job once, in the order of the job, and what is to be said.

    Raises LdmError where two folders disagree about a picture.
    """
    folders = [path for path in inputs if (path / "manifest.jsonl").is_file()]
    if len(folders) < 2 or not parts_of_one(folders):
        return pairs, []
    joined, notes = join(folders), []
    if joined.twice:
        notes.append(Note(f"{counted(len(joined.twice), 'picture')} there more than once, and equal; scored once"))
    replaced = {path for path, place in joined.changed.items() if place in joined.pictures}
    if replaced:
        said = f"{counted(len(replaced), 'file')} changed since drawn, and in another folder as drawn; left out: {min(replaced)}"
        notes.append(Note(said, warning=True))
    if joined.missing:
        notes.append(Note(f"{counted(len(joined.missing), 'picture')} of the job missing: {ranges(joined.missing)}", warning=True))
    place = {folder / row["path"]: number for (_, number), (folder, row) in joined.pictures.items()}
    once = sorted(
        (pair for pair in pairs.pairs if pair.path not in joined.twice.keys() | replaced),
        key=lambda pair: place.get(pair.path, MOST_NUMBERS),
    )
    return replace(pairs, pairs=tuple(once)), notes
