"""Pairs of pictures and captions as unit vectors, batch by batch, by one process or several."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ldmcli.data.picture_captions import Pair
from ldmcli.data.pictures import read_captioned, read_picture
from ldmcli.errors import LdmError
from ldmcli.models.scorer import Scorer
from ldmcli.records.events import Event
from ldmcli.records.notes import Progress
from ldmcli.runtime.pictures import BadPicture
from ldmcli.runtime.team import Team
from ldmcli.runtime.teamwork import share_out

# N pairs, P pictures, C captions, D width of the vectors


@dataclass
class PairEmbeddings:
    """A set of pairs as unit vectors: each picture and each caption once. rows: (N, 2), which picture and which caption."""

    pairs: list[Pair]
    paths: list[Path]
    captions: list[str]
    picture_vectors: Tensor
    caption_vectors: Tensor
    rows: Tensor
    unreadable: dict[Path, str]

    @property
    def cosine(self) -> Tensor:
        """(N,) of the pairs."""
        return (self.picture_vectors[self.rows[:, 0]] * self.caption_vectors[self.rows[:, 1]]).sum(dim=1)


def embed(team: Team, scorer: Scorer, pairs: Sequence[Pair], prefix: str, name: str) -> Generator[Event, None, PairEmbeddings | None]:
    """What the pairs look like to the scorer, as the value of `yield from` in process 0; None in the others, which compute a share.

    Batches are those of one process, so vectors are too. name: of this set of pairs. Raises LdmError when no picture can be read.
    """
    vectors, unreadable = yield from _embed_pictures(team, scorer, pairs, name)
    if team.main and not vectors:
        path, why = next(iter(unreadable.items()))
        raise LdmError(f"no picture could be read: {path}: {why}")
    unreadable = team.agree(f"{name} unreadable", unreadable)
    kept = [pair for pair in pairs if pair.path not in unreadable]
    captions = list(dict.fromkeys(pair.caption for pair in kept))
    caption_vectors = yield from _embed_captions(team, scorer, [prefix + caption for caption in captions], name)
    if caption_vectors is None:
        return None
    pictures, texts = ({key: place for place, key in enumerate(keys)} for keys in (vectors, captions))
    rows = torch.tensor([(pictures[pair.path], texts[pair.caption]) for pair in kept])
    return PairEmbeddings(kept, list(vectors), captions, torch.stack(list(vectors.values())), caption_vectors, rows, unreadable)


def _embed_pictures(
    team: Team, scorer: Scorer, pairs: Sequence[Pair], name: str
) -> Generator[Event, None, tuple[dict[Path, Tensor], dict[Path, str]]]:
    """Vector by path, and why a path has none; nothing of either but in process 0."""
    members = {pair.path: pair.member for pair in pairs}
    paths, size = list(members), scorer.batch_size

    def work(number: int) -> Generator[Event, None, tuple[dict[Path, Tensor], dict[Path, str]]]:
        batch: dict[Path, Image.Image] = {}
        bad: dict[Path, str] = {}
        for path in paths[number * size : (number + 1) * size]:
            try:
                member = members[path]
                batch[path] = read_picture(path) if member is None else read_captioned(member)
            except BadPicture as error:
                bad[path] = str(error)
        embedded: Iterable[Tensor] = scorer.embed_pictures(list(batch.values())) if batch else ()
        found = {path: vector.clone() for path, vector in zip(batch, embedded, strict=True)}  # a view is sent with all it is part of
        yield Progress("score", min((number + 1) * size, len(paths)), len(paths))
        return found, bad

    parts = yield from share_out(team, f"pictures of {name}", -(-len(paths) // size), work)
    vectors: dict[Path, Tensor] = {}
    unreadable: dict[Path, str] = {}
    for found, bad in parts or []:
        vectors |= found
        unreadable |= bad
    return vectors, unreadable


def _embed_captions(team: Team, scorer: Scorer, captions: Sequence[str], name: str) -> Generator[Event, None, Tensor | None]:
    """(C, D) in process 0."""
    size = scorer.batch_size

    def work(number: int) -> Generator[Event, None, Tensor]:
        yield from ()
        return scorer.embed_captions(captions[number * size : (number + 1) * size])

    parts = yield from share_out(team, f"captions of {name}", -(-len(captions) // size), work)
    return None if parts is None else torch.cat(parts)
