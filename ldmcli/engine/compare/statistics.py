"""From every picture's values to what a comparison says: differences with their intervals, and a verdict for each scheduler."""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from ldmcli.diffusion import catalogue
from ldmcli.metrics.bootstrap import bootstrap_interval
from ldmcli.metrics.clusters import cluster_values
from ldmcli.records.comparison import ComparedRow, Difference, Verdict

ENOUGH = 0.05
"""A median RMSE of this share of the reference's standard deviation counts as having arrived."""

FEWEST = 5
"""Values below which no interval is given: the bootstrap only knows what it was shown."""


def interval(values: Sequence[float] | Tensor, prompts: Sequence[str]) -> tuple[float, float] | None:
    """95 % bootstrap interval of the mean. None for fewer than five values.

    values: one per picture; prompts: of each picture. Prompts are what is drawn again, with all their seeds; where there are fewer
    than five of them, single pictures, and the interval speaks of these prompts alone.
    """
    sample = torch.as_tensor(values, dtype=torch.float64)
    if len(sample) < FEWEST:
        return None
    return bootstrap_interval(cluster_values(sample, prompts) if len(set(prompts)) >= FEWEST else sample, "mean")


def differences(rows: Sequence[ComparedRow], prompts: Sequence[str]) -> list[Difference]:
    """Every pair at every entry of --steps that calls the U-Net equally often, give or take one (pndm's N + 1).

    So heun, which calls it twice a step, is paired with nobody unless calls were made equal.
    """
    found = []
    for measure, item in (("latent_rmse", "latent_rmse"), ("clip_score", "cosine")):
        for first, second in combinations(rows, 2):
            same = first.budget == second.budget and abs(first.num_unet_calls - second.num_unet_calls) <= 1
            if same and item in first.items and item in second.items:
                paired = torch.tensor(first.items[item], dtype=torch.float64) - torch.tensor(second.items[item], dtype=torch.float64)
                found.append(_difference(measure, first, second, paired * (100 if item == "cosine" else 1), prompts))
    return found


def _difference(measure: str, first: ComparedRow, second: ComparedRow, paired: Tensor, prompts: Sequence[str]) -> Difference:
    mean, ci95 = float(paired.mean()), interval(paired, prompts)
    differs = ci95 is not None and not ci95[0] <= 0 <= ci95[1]
    lower, higher = (first, second) if mean < 0 else (second, first)
    if ci95 is None:
        text = f"fewer than {FEWEST} pictures: no interval"
    elif not differs:
        text = "no difference shown"
    elif measure == "latent_rmse":
        text = f"{lower.scheduler} is nearer to the reference"
    else:
        text = f"{higher.scheduler} fits the prompts better"
    return Difference(
        measure=measure, budget=first.budget, first=first.scheduler, second=second.scheduler, mean=mean, ci95=ci95, differs=differs,
        verdict=text,
    )  # fmt: skip


def verdicts(rows: Sequence[ComparedRow]) -> list[Verdict]:
    """One for each scheduler, in the order of the rows."""
    return [_verdict(name, [row for row in rows if row.scheduler == name]) for name in dict.fromkeys(row.scheduler for row in rows)]


def _verdict(name: str, rows: Sequence[ComparedRow]) -> Verdict:
    measured = [(row.num_unet_calls, row.relative_rmse) for row in rows if row.relative_rmse is not None]
    if not measured:
        adds_noise = catalogue.resolve(name).stochastic and not all(row.error for row in rows)
        why = "adds noise at every step, so it has no picture to converge to" if adds_noise else "nothing could be measured"
        return Verdict(scheduler=name, calls=None, text=f"{name}: {why}.")
    enough = min(((calls, share) for calls, share in measured if share <= ENOUGH), default=None)
    if enough:
        text = f"{name}: {enough[0]} calls are enough (median error {enough[1]:.1%} of the reference's standard deviation)."
        return Verdict(scheduler=name, calls=enough[0], text=text)
    calls, share = max(measured)
    text = f"{name}: {calls} calls are not enough (median error {share:.1%}, {ENOUGH:.0%} is asked)."
    return Verdict(scheduler=name, calls=None, text=text)
