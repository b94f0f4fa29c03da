"""How many pictures are all but copies of a training picture: composed ones, and those of the prompts of diversity.py."""

import torch
from torch import Tensor

from judging import composed, diversity
from judging.drawing import judged_sheet
from judging.figures import Figure, Result, share
from judging.judge import Judge

COPY = 0.02
"""RMSE, pixels from 0 to 1, within which a picture counts as a copy."""
AT_A_TIME = 512


def measure_copies(judge: Judge) -> Result:
    """The nearest of all training pictures, composed ones among them, in RMSE of all pixels."""
    made, (prompts, alone) = composed.drawn(judge), diversity.drawn(judge)
    pictures = torch.cat([alone, *(part for _, part in made.values())])
    labels = [prompt for prompt in prompts for _ in range(diversity.SEEDS)]
    labels += [one.prompt for asked, _ in made.values() for one in asked]
    distances, nearest = nearest_training(judge, pictures)
    copied = [distance <= COPY for distance in distances.tolist()]
    figures = [
        Figure(name=f"within RMSE {COPY} of a training picture", value=share(copied), cases=len(copied), bound=0.2, at_most=True),
        Figure(name="  of one thing alone", value=share(copied[: len(alone)]), cases=len(alone), bound=0.2, at_most=True),
        Figure(name="  median RMSE to the nearest", value=distances.median().item(), unit="", cases=len(copied)),
    ]
    rows = zip(labels, distances.tolist(), nearest, strict=True)
    details = [{"prompt": prompt, "rmse": round(distance, 4), "nearest": name} for prompt, distance, name in rows]
    return Result(figures, details, judged_sheet(pictures, labels, [not one for one in copied], columns=5 * judge.seeds))


def nearest_training(judge: Judge, pictures: Tensor) -> tuple[Tensor, list[str]]:
    """(N, 3, H, W) uint8 -> RMSE to the nearest training picture (N,), and its file's name."""
    ours = pictures.flatten(1).float() / 255
    best, where = torch.full((len(ours),), torch.inf), torch.zeros(len(ours), dtype=torch.int64)
    for first in range(0, len(judge.rows), AT_A_TIME):
        theirs = torch.stack([judge.read(row) for row in judge.rows[first : first + AT_A_TIME]]).flatten(1).float() / 255
        distance, index = torch.cdist(ours, theirs).min(dim=1)
        where = torch.where(distance < best, first + index, where)
        best = torch.minimum(best, distance)
    return best / ours.shape[1] ** 0.5, [judge.rows[i]["file_name"] for i in where.tolist()]
