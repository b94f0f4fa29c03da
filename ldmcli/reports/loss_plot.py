"""loss.png of a training run, from its log.jsonl."""

import io
import json
from pathlib import Path

from ldmcli.runtime.files import replace_file


def plot_losses(log: Path, target: Path) -> None:
    """One curve per logged loss term, against the step, on a log axis. Does nothing when nothing was logged."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    if not rows:
        return
    figure, axes = plt.subplots(figsize=(7, 4))
    skip = {"step", "lr", "images_per_s", "seconds", "grad_norm", "clip_score"}
    for name in sorted({key for row in rows for key in row} - skip):
        points = [(row["step"], row[name]) for row in rows if row.get(name, 0) > 0]
        axes.plot(*zip(*points, strict=True), label=name, linewidth=1) if points else None
    axes.set(xlabel="step", yscale="log")
    axes.legend()
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100, format="png")
    plt.close(figure)
    replace_file(target, buffer.getvalue())
