"""Whether other seeds give other pictures."""

import itertools
from dataclasses import replace

import lists
from PIL import Image
from scenes import SIDE, Placed, Scene, draw_scene
from torch import Tensor

from judging.drawing import as_pillow
from judging.figures import Figure, Result, share
from judging.judge import Judge
from ldmcli.metrics.rmse import rmse
from ldmcli.reports.sheets import contact_sheet

PROMPTS, SEEDS = 20, 8
LEAST, LEAST_VARIED, LOOKS = 0.18, 0.10, 3
"""RMSE between seeds on average and of the least varied prompt, and looks of a prompt, that are asked for."""
DRAWINGS, ALIKE = 200, 0.05
"""Two pictures have one look where the scorer finds them as near as it finds a drawing and the same one turned a little, smaller and moved:
of so many drawings of the data set, but for this share of the least alike."""


def fixed_prompts(judge: Judge) -> list[str]:
    """Evenly spaced concepts."""
    concepts = lists.read_concepts()
    return [row["prompt"] for row in judge.some(concepts[:: len(concepts) // PROMPTS])]


def drawn(judge: Judge) -> tuple[list[str], Tensor]:
    """The prompts and SEEDS pictures of each."""
    prompts = fixed_prompts(judge)
    return prompts, judge.drawer.draw("diversity", prompts, SEEDS)


def measure_diversity(judge: Judge) -> Result:
    """Mean RMSE (pixels from 0 to 1) between two seeds of one prompt, and how many looks its pictures have."""
    prompts, pictures = drawn(judge)
    parts = pictures.split(SEEDS)
    spreads = [spread(part) for part in parts]
    one_look = cosine_of_one_look(judge)
    looks = [looks_of(judge.scorer.embed_pictures(as_pillow(part)), one_look) for part in parts]
    figures = [
        Figure(name="between seeds, mean RMSE", value=sum(spreads) / len(spreads), unit="", cases=len(prompts), bound=LEAST),
        Figure(name="  of the least varied prompt", value=min(spreads), unit="", cases=SEEDS, bound=LEAST_VARIED),
        Figure(name="looks of a prompt, mean", value=sum(looks) / len(looks), unit="", cases=len(prompts), bound=LOOKS),
        Figure(name=f"  prompts with {LOOKS} at least", value=share([number >= LOOKS for number in looks]), cases=len(prompts)),
    ]
    rows = zip(prompts, spreads, looks, strict=True)
    details = [{"prompt": prompt, "mean_pairwise_rmse": round(value, 4), "looks": number} for prompt, value, number in rows]
    labels = [prompt for prompt in prompts for _ in range(SEEDS)]
    return Result(figures, details, contact_sheet(as_pillow(pictures), SEEDS, labels=labels, gap=2))


def cosine_of_one_look(judge: Judge) -> float:
    """From this cosine of the scorer's picture vectors on, two pictures have one look."""
    shown = [one for one in judge.wardrobe.drawings if not one.mirrored]
    plain = [
        Placed(emoji=judge.wardrobe.emoji[one.code], path=one.path, x=SIDE / 2, y=SIDE / 2, side=SIDE)
        for one in shown[:: max(len(shown) // DRAWINGS, 1)]
    ]
    moved = [replace(one, x=one.x + 2, y=one.y - 1, side=7 * SIDE // 8, turn=8.0 * (-1) ** row) for row, one in enumerate(plain)]
    first, second = (judge.scorer.embed_pictures([alone(one) for one in each]) for each in (plain, moved))
    return (first * second).sum(dim=1).quantile(ALIKE).item()


def alone(one: Placed) -> Image.Image:
    """On white."""
    return draw_scene(Scene(kind="single", style="", licence=0, objects=(one,)))


def looks_of(vectors: Tensor, one_look: float) -> int:
    """Clusters of unit vectors (N, D) by complete linkage: within one, all cosines are at least one_look."""
    cosines, clusters = vectors @ vectors.T, [[row] for row in range(len(vectors))]
    while len(clusters) > 1:
        pairs = itertools.combinations(range(len(clusters)), 2)
        nearest, one, other = max((cosines[clusters[a]][:, clusters[b]].min().item(), a, b) for a, b in pairs)
        if nearest < one_look:
            break
        clusters[one] += clusters.pop(other)
    return len(clusters)


def spread(pictures: Tensor) -> float:
    """Mean RMSE over all pairs of (N, 3, H, W) uint8."""
    unit = pictures / 255
    first, second = zip(*itertools.combinations(range(len(unit)), 2), strict=True)
    return rmse(unit[list(first)], unit[list(second)]).mean().item()
