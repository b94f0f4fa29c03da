"""Whether other seeds give other pictures."""

import itertools

import lists
from torch import Tensor

from judging.drawing import as_pillow
from judging.figures import Figure, Result
from judging.judge import Judge
from ldmcli.metrics.rmse import rmse
from ldmcli.reports.sheets import contact_sheet

PROMPTS, SEEDS = 20, 8


def measure_diversity(judge: Judge) -> Result:
    """Mean RMSE (pixels from 0 to 1) between two seeds of one prompt, over evenly spaced concepts."""
    concepts = lists.read_concepts()
    prompts = [row["prompt"] for row in judge.some(concepts[:: len(concepts) // PROMPTS])]
    pictures = judge.drawer.draw("diversity", prompts, SEEDS)
    spreads = [spread(pictures[i * SEEDS : (i + 1) * SEEDS]) for i in range(len(prompts))]
    figures = [
        Figure(name="between seeds, mean RMSE", value=sum(spreads) / len(spreads), unit="", cases=len(prompts)),
        Figure(name="  of the least varied prompt", value=min(spreads), unit="", cases=SEEDS),
    ]
    details = [{"prompt": prompt, "mean_pairwise_rmse": round(value, 4)} for prompt, value in zip(prompts, spreads, strict=True)]
    labels = [prompt for prompt in prompts for _ in range(SEEDS)]
    return Result(figures, details, contact_sheet(as_pillow(pictures), SEEDS, labels=labels, gap=2))


def spread(pictures: Tensor) -> float:
    """Mean RMSE over all pairs of (N, 3, H, W) uint8."""
    unit = pictures / 255
    first, second = zip(*itertools.combinations(range(len(unit)), 2), strict=True)
    return rmse(unit[list(first)], unit[list(second)]).mean().item()
