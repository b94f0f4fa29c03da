"""Settings with their scores: which is the best, and a plot of all."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean


@dataclass(frozen=True)
class Setting:
    """calls: evaluations of the U-Net per picture; score: mean CLIPScore; low, high: its 95 % interval."""

    scheduler: str
    cfg: float
    steps: int
    calls: int
    score: float
    low: float
    high: float


def choose_guidance(settings: Sequence[Setting]) -> float:
    """The guidance above 1 with the best score, averaged over the schedulers."""
    strengths = sorted({one.cfg for one in settings if one.cfg > 1})
    return max(strengths, key=lambda cfg: mean(one.score for one in settings if one.cfg == cfg))


def choose_steps(settings: Sequence[Setting]) -> Setting:
    """The best score; of equal ones the fewest evaluations."""
    return max(settings, key=lambda one: (one.score, -one.calls))


def plot(by_guidance: Sequence[Setting], by_steps: Sequence[Setting], chosen: Setting, target: Path) -> None:
    """PNG: score against guidance and against evaluations, one line per scheduler with its interval, the choice marked."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    for axes, settings, key in zip(panels, (by_guidance, by_steps), ("cfg", "steps"), strict=True):
        for name in dict.fromkeys(one.scheduler for one in settings):
            line = [one for one in settings if one.scheduler == name]
            places = [getattr(one, key) for one in line]
            (drawn,) = axes.plot(places, [one.score for one in line], marker="o", markersize=3, label=name)
            axes.fill_between(
                places, [one.low for one in line], [one.high for one in line], color=drawn.get_color(), alpha=0.08, linewidth=0
            )
        axes.axvline(getattr(chosen, key), color="#888888", linewidth=0.8, linestyle="--")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set(xlabel=f"guidance (--cfg), {by_guidance[0].steps} steps", ylabel="CLIPScore (bundled scorer)")
    panels[1].set(xlabel=f"steps, --cfg {chosen.cfg:g}", xscale="log", xticks=(ticks := sorted({one.steps for one in by_steps})))
    panels[1].set_xticklabels(map(str, ticks))
    panels[1].minorticks_off()
    panels[1].plot(
        chosen.steps, chosen.score, marker="*", markersize=13, color="#333333", linestyle="none", label=f"chosen: {chosen.scheduler}"
    )
    panels[1].legend(frameon=False, fontsize=9)
    figure.tight_layout()
    figure.savefig(target, dpi=110)
    plt.close(figure)
