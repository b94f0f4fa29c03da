"""What --dry-run found, in lines."""

from ldmcli.console.text import printable
from ldmcli.records.training import RunPlan
from ldmcli.records.words import counted


def plan_lines(plan: RunPlan) -> list[str]:
    """Two columns: what, and how much of it."""
    each = " of each process" if plan.processes > 1 else ""
    memory = f"{plan.peak_rss_bytes / 2**20:,.0f} MiB RSS"
    if plan.peak_vram_bytes is not None:
        memory += f", {plan.peak_vram_bytes / 2**20:,.0f} MiB VRAM"
    rows = [
        ("data", f"{counted(plan.pictures, 'picture')} in {plan.source}"),
        ("tried", f"{counted(plan.tried, 'picture')}, {plan.bad:,} of them unusable"),
        *(("missing", problem) for problem in plan.problems),
        ("parameters", f"{plan.parameters:,}"),
        *([("processes", f"{plan.processes:,}, of which one was tried: what they say to each other is not in it")] if each else []),
        ("steps", f"{plan.steps:,}, {plan.steps_per_epoch:,} an epoch, of {counted(plan.pictures_per_step, 'picture')}"),
        ("seconds per step", f"{plan.seconds_per_step:.3g}, median of three real ones"),
        ("looking at it", f"{plan.validate_s:.3g} seconds per validation, {plan.sample_s:.3g} per sheet of samples"),
        ("time", f"{_clock(plan.eta_s)}, of which {_clock(plan.prepare_s)} to fill the caches"),
        ("memory", f"{memory} at the peak of the trial{each}"),
        ("disk", f"{plan.disk_bytes / 2**20:,.0f} MiB, of {plan.disk_free_bytes / 2**20:,.0f} MiB free"),
    ]
    return [f"{name:18}{printable(value)}" for name, value in rows]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
