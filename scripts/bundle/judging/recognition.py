"""Whether a picture shows what its prompt names: by its nearest training picture, and by the caption that the scorer prefers."""

import random
from collections import defaultdict
from collections.abc import Sequence

import lists
import torch
from torch import Tensor

from judging.drawing import as_pillow, fingerprint, judged_sheet
from judging.figures import Figure, Result, share
from judging.judge import Judge

AMONG = 100
"""Captions that the scorer chooses from."""


def measure_concepts(judge: Judge) -> Result:
    """The everyday concepts: nearest picture, and rank of the prompt among those of other concepts."""
    rows = judge.some(lists.read_concepts())
    pictures = judge.drawer.draw("concepts", [row["prompt"] for row in rows], judge.seeds)
    nearest, right = recognised(judge, rows, pictures)
    first = ranked_first(judge, rows, pictures)
    figures = [
        Figure(name="concepts recognised", value=share(right), cases=len(right), chance=chance(judge, rows), bound=0.96),
        Figure(name="scorer prefers the prompt of 100", value=share(first), cases=len(first), chance=1 / AMONG, bound=0.93),
        *by_group(rows, right, judge.seeds),
    ]
    return Result(figures, verdicts(rows, nearest, right, judge.seeds), sheet(judge, rows, pictures, right))


def measure_synonyms(judge: Judge) -> Result:
    """Words that no caption holds."""
    rows = judge.some(lists.read_synonyms())
    pictures = judge.drawer.draw("synonyms", [row["prompt"] for row in rows], judge.seeds)
    nearest, right = recognised(judge, rows, pictures)
    mostly = [sum(right[i : i + judge.seeds]) > judge.seeds / 2 for i in range(0, len(right), judge.seeds)]
    figures = [
        Figure(name="synonyms recognised", value=share(right), cases=len(right), chance=chance(judge, rows), bound=0.70),
        Figure(name="synonyms recognised with most seeds", value=share(mostly), cases=len(mostly)),
    ]
    return Result(figures, verdicts(rows, nearest, right, judge.seeds), sheet(judge, rows, pictures, right))


def recognised(judge: Judge, rows: Sequence[dict], pictures: Tensor) -> tuple[list[str], list[bool]]:
    """The emoji of the nearest single-object training picture on white (L2 of 32 x 32 RGB), and whether the row lists it."""
    singles = judge.singles
    nearest = [singles.emoji[i] for i in torch.cdist(fingerprint(pictures), singles.fingerprints).argmin(dim=1).tolist()]
    return nearest, [found in rows[i // judge.seeds]["emoji"] for i, found in enumerate(nearest)]


def chance(judge: Judge, rows: Sequence[dict]) -> float:
    """The share of training pictures that would count, averaged over the rows."""
    emoji = judge.singles.emoji
    return sum(sum(code in row["emoji"] for code in emoji) / len(emoji) for row in rows) / len(rows)


def ranked_first(judge: Judge, rows: Sequence[dict], pictures: Tensor) -> list[bool]:
    """Whether the scorer's cosine is largest with the picture's own prompt, of AMONG; the others belong to concepts that share no emoji."""
    concepts = lists.read_concepts()
    texts = [row["prompt"] for row in concepts]
    vectors = dict(zip(texts, judge.scorer.embed_captions(texts), strict=True))
    shown = judge.scorer.embed_pictures(as_pillow(pictures))
    first = []
    for number, row in enumerate(rows):
        rng = random.Random(row["prompt"])
        foreign = [other["prompt"] for other in concepts if not set(other["emoji"]) & set(row["emoji"])]
        candidates = torch.stack([vectors[text] for text in (row["prompt"], *rng.sample(foreign, AMONG - 1))])
        own = shown[number * judge.seeds : (number + 1) * judge.seeds] @ candidates.T
        first += (own[:, 0] > own[:, 1:].amax(dim=1)).tolist()
    return first


def by_group(rows: Sequence[dict], right: Sequence[bool], seeds: int) -> list[Figure]:
    """How each group of concepts fares."""
    groups: dict[str, list[bool]] = defaultdict(list)
    for i, hit in enumerate(right):
        groups[rows[i // seeds]["group"]].append(hit)
    return [Figure(name=f"  {group}", value=share(hits), cases=len(hits)) for group, hits in groups.items()]


def verdicts(rows: Sequence[dict], nearest: Sequence[str], right: Sequence[bool], seeds: int) -> list[dict]:
    """Prompt by prompt, for the JSON file."""
    spans = [slice(i * seeds, (i + 1) * seeds) for i in range(len(rows))]
    return [{"prompt": row["prompt"], "right": right[s], "nearest": nearest[s]} for row, s in zip(rows, spans, strict=True)]


def sheet(judge: Judge, rows: Sequence[dict], pictures: Tensor, right: Sequence[bool]):
    """All of them, five prompts to a line."""
    labels = [row["prompt"] for row in rows for _ in range(judge.seeds)]
    return judged_sheet(pictures, labels, right, columns=5 * judge.seeds)
