"""A bar for every configuration of `bench`: where the time of a picture goes."""

import io

from ldmcli.records.costs import BenchReport

STAGES = {"encode_s": ("text encoder", "#5b8db8"), "denoise_s": ("U-Net and solver", "#e0884a"), "decode_s": ("VAE decoder", "#7a9a52")}


def draw_chart(report: BenchReport) -> bytes:
    """PNG: seconds per picture, stacked by stage, with the standard deviation of the total. Rows that failed are left out."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    rows = [row for row in report.rows if row.total_s is not None]
    names = [f"{row.dtype}, batch {row.batch_size}\n{row.width}x{row.height}, {row.scheduler} {row.steps}" for row in rows]
    figure, axes = plt.subplots(figsize=(8, 1.4 + 0.6 * len(rows)))
    left = [0.0] * len(rows)
    for key, (stage, colour) in STAGES.items():
        widths = [getattr(row, key) / row.batch_size for row in rows]
        axes.barh(names, widths, left=left, label=stage, color=colour, height=0.6)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for place, (row, end) in enumerate(zip(rows, left, strict=True)):
        assert row.total_s is not None
        axes.errorbar(end, place, xerr=row.total_s.stddev / row.batch_size, color="#444444", capsize=3)
        peak = "" if row.fraction_of_peak is None else f", {row.fraction_of_peak:.0%} of peak"
        axes.annotate(f"{row.images_per_s:.3g} images/s{peak}", (end, place), xytext=(8, 7), textcoords="offset points", fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="seconds per picture (median; the whisker is one standard deviation)", xlim=(0, 1.35 * max(left)))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.5 / (1.4 + 0.6 * len(rows))), ncols=3, frameon=False, fontsize=9)
    axes.set_title(f"{report.env['model']} on {report.env['gpu'] or report.env['cpu']}", fontsize=10, pad=26)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png")
    plt.close(figure)
    return buffer.getvalue()
