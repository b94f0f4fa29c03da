"""`ldm clipscore`: how well captions fit pictures, with how sure that is."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ldmcli.config.measuring import ClipScoreConfig
from ldmcli.data.picture_captions import Pairs
from ldmcli.engine.score.embedding import PairEmbeddings, embed
from ldmcli.engine.score.fid import check_distance, measure_distance
from ldmcli.engine.score.listing import Listing, list_pairs
from ldmcli.errors import PartlyFailed, UsageError
from ldmcli.metrics.bootstrap import bootstrap_interval
from ldmcli.metrics.clip_score import hessel_score, others_mean, permutation_p_value, ref_clip_score
from ldmcli.metrics.clusters import cluster_values
from ldmcli.models.scorer import Scorer, load_scorer
from ldmcli.models.scorer_source import ScorerSource, find_scorer, scorer_for
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.records.scores import ClipScoreReport, ScoreDifference, ScoredPair
from ldmcli.records.words import counted
from ldmcli.reports.pair_scores import write_pair_scores
from ldmcli.runtime.device import select_device, set_threads
from ldmcli.runtime.room import check_room
from ldmcli.runtime.team import Team
from ldmcli.runtime.teamwork import own_device, run_as_team

SAID = 5
"""Captions that cannot be used and are named before anything is scored."""

# N pairs, P pictures, C captions, D width of the vectors


@run_as_team
def run_clipscore(team: Team, config: ClipScoreConfig, listing: Listing | None = None) -> Iterator[Event]:
    """Yields notes and progress, and the report last. listing: of `list_pairs`, where it was asked already.

    Raises PartlyFailed after the report when some pictures could not be read.
    """
    if config.output is not None:
        check_room(config.output.parent)
    listing = list_pairs(config) if listing is None else listing
    sets, references = listing.sets, listing.references
    check_sets(config, sets[0])
    source = choose_scorer(config, sets)
    yield from (Note(text) for each in sets for text in each.notes)
    yield from (Note(f"left out: {text}", warning=True) for each in sets for text in each.failed[:SAID])
    yield from listing.notes
    device, reason = select_device(own_device(config.device))
    set_threads()
    yield Note(f"device {device} ({reason}); scorer {source.name}, fp32")
    if source.name == "bundled":
        yield Note("the bundled scorer was trained on the emoji of the bundled model: its scores compare only among themselves.")
    scorer = load_scorer(source, device, batch_size=config.batch_size)

    found_by_set = []
    for number, each in enumerate(sets):
        found_by_set.append((yield from embed(team, scorer, each.pairs, config.caption_start, f"set {number}")))
    if not team.main:
        return
    embedded, *others = [found for found in found_by_set if found is not None]
    report = report_on(scorer, embedded, config, references)
    for other in others:
        report = replace(report, compare=difference(embedded, other, str(config.compare), config.seed))
        embedded.unreadable |= other.unreadable
    if config.fid is not None:
        distance = yield from measure_distance(embedded.paths, config.fid, device, batch_size=config.batch_size, seed=config.seed)
        report = replace(report, distance=distance)
    if any("<|endoftext|>" in pair.caption for pair in embedded.pairs):
        yield Note("a caption spells out <|endoftext|>; CLIP reads nothing after it.", warning=True)
    if config.output is not None:
        write_pair_scores(config.output, report.items, overwrite=config.overwrite)
    yield report
    if failed := what_failed([reason for each in sets for reason in each.failed], embedded.unreadable):
        raise PartlyFailed(failed)


def what_failed(captions: Sequence[str], unreadable: dict[Path, str]) -> str:
    """How many captions and pictures could not be used, the first of each with its reason; "" if all could."""
    said = [f"{counted(len(captions), 'caption')} could not be used: {captions[0]}"] if captions else []
    if unreadable:
        path, why = next(iter(unreadable.items()))
        said.append(f"{counted(len(unreadable), 'picture')} could not be read: {path}: {why}")
    return "; ".join(said)


def check_sets(config: ClipScoreConfig, pairs: Pairs) -> None:
    """Raise UsageError for what these pictures cannot be asked."""
    if config.baseline is not None and len({pair.caption for pair in pairs.pairs}) < 2:
        raise UsageError("--baseline shuffled needs at least two different captions.")
    if config.fid is not None:
        if any(pair.member for pair in pairs.pairs):
            raise UsageError("--fid opens files, and these pictures lie in tar shards.", hint="Unpack the shards first.")
        check_distance([pair.path for pair in pairs.pairs], config.fid)


def choose_scorer(config: ClipScoreConfig, sets: Sequence[Pairs]) -> ScorerSource:
    """The one that was asked for; else the bundled one when every picture says that the bundled model drew it."""
    models = {each.model for each in sets}
    name = config.clip_model or scorer_for(models.pop() if len(models) == 1 else None)
    return find_scorer(name, offline=config.offline)


def report_on(
    scorer: Scorer, embedded: PairEmbeddings, config: ClipScoreConfig, references: dict[Path, list[str]] | None
) -> ClipScoreReport:
    """Every figure of one set of pairs."""
    cosine, pairs = embedded.cosine, embedded.pairs
    by_picture = len(embedded.captions) >= len(embedded.paths)
    units = [pair.path if by_picture else pair.caption for pair in pairs]
    against = None if references is None else ref_clip_score(cosine, _nearest_reference(scorer, embedded, references, config.caption_start))
    floor = p_value = None
    if config.baseline == "shuffled":
        belongs = torch.zeros(len(embedded.paths), len(embedded.captions), dtype=torch.bool)
        belongs[embedded.rows[:, 0], embedded.rows[:, 1]] = True
        floor = 100 * others_mean(embedded.picture_vectors, embedded.caption_vectors, belongs)
        pictures, texts = embedded.picture_vectors[embedded.rows[:, 0]], embedded.caption_vectors[embedded.rows[:, 1]]
        p_value = permutation_p_value(pictures, texts, seed=config.seed)
    extra = [None] * len(pairs) if against is None else against.tolist()
    return ClipScoreReport(
        clip_model=scorer.name,
        preprocessing=f"uint8, {scorer.processor.backend}",
        prefix=config.caption_start,
        n=len(pairs),
        pictures=len(embedded.paths),
        captions=len(embedded.captions),
        cosine_mean=cosine.mean().item(),
        clip_score=100 * cosine.mean().item(),
        clipscore_w25=hessel_score(cosine).mean().item(),
        ref_clip_score=None if against is None else against.mean().item(),
        sd=100 * cosine.std().item() if len(cosine) > 1 else 0.0,
        ci95=bootstrap_interval(cluster_values(100 * cosine, units), seed=config.seed),
        resampled="pictures" if by_picture else "captions",
        truncated=scorer.count_truncated([config.caption_start + caption for caption in embedded.captions]),
        baseline_shuffled=floor,
        shuffled_p=p_value,
        compare=None,
        distance=None,
        items=[
            ScoredPair(image=str(pair.path), caption=pair.caption, cosine=value, ref_clip_score=ref)
            for pair, value, ref in zip(pairs, cosine.tolist(), extra, strict=True)
        ],
    )


def _nearest_reference(scorer: Scorer, embedded: PairEmbeddings, references: dict[Path, list[str]], prefix: str) -> Tensor:
    """(N,) the largest cosine of each pair's caption with a reference of its picture."""
    texts = list(dict.fromkeys(text for path in embedded.paths for text in references[path]))
    vectors = dict(zip(texts, scorer.embed_captions([prefix + text for text in texts]), strict=True))
    own = embedded.caption_vectors[embedded.rows[:, 1]]
    nearest = [
        (torch.stack([vectors[text] for text in references[pair.path]]) @ vector).max()
        for pair, vector in zip(embedded.pairs, own, strict=True)
    ]
    return torch.stack(nearest)


def difference(ours: PairEmbeddings, other: PairEmbeddings, name: str, seed: int) -> ScoreDifference:
    """Ours minus the other, over the captions that both have; pictures of one caption are averaged first. Raises UsageError."""
    first, second = _by_caption(ours), _by_caption(other)
    both = [caption for caption in first if caption in second]
    if len(both) < 2:
        raise UsageError(
            f"--compare {name}: {counted(len(both), 'caption')} in common; two sets of pictures of the same prompts are needed."
        )
    apart = torch.tensor([first[caption] - second[caption] for caption in both], dtype=torch.float64)
    low, high = bootstrap_interval(apart, seed=seed)
    unpaired = len(first.keys() ^ second.keys())
    return ScoreDifference(
        other=name, n=len(both), unpaired=unpaired, difference=apart.mean().item(), ci95=(low, high), shown=not low <= 0 <= high
    )


def _by_caption(embedded: PairEmbeddings) -> dict[str, float]:
    """100 * the mean cosine of each caption."""
    values: dict[str, list[float]] = defaultdict(list)
    for pair, cosine in zip(embedded.pairs, embedded.cosine.tolist(), strict=True):
        values[pair.caption].append(100 * cosine)
    return {caption: sum(scores) / len(scores) for caption, scores in values.items()}
