"""What the user sees: results on stdout, talk on stderr. Draws the records that the engine yields."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ldmcli.console.plan import plan_lines
from ldmcli.console.score_table import clipscore_json, score_table
from ldmcli.console.text import printable
from ldmcli.console.verdict import reasons
from ldmcli.errors import LdmError
from ldmcli.records.comparison import ComparisonReport
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Saved
from ldmcli.records.pictures import GenerateReport, ImageRecord, Verified
from ldmcli.records.scores import ClipScoreReport
from ldmcli.records.training import RunPlan, TrainDone
from ldmcli.records.words import counted
from ldmcli.runtime import signals
from ldmcli.runtime.launcher import process_index


def show_error(message: str, hint: str) -> None:
    """One line of what is wrong, one of what to do."""
    print(f"error: {printable(message)}", file=sys.stderr)
    if hint:
        print(printable(hint), file=sys.stderr)


_sources: ContextVar[Callable[[], dict[str, str]] | None] = ContextVar("sources", default=None)


@contextmanager
def naming_sources(sources: Callable[[], dict[str, str]] | None) -> Iterator[None]:
    """Where the settings came from stands in the document that is printed within. None: it does not."""
    token = _sources.set(sources)
    try:
        yield
    finally:
        _sources.reset(token)


def show_json(body: Any) -> None:
    """The one document of --json."""
    if isinstance(body, dict) and (sources := _sources.get()):
        body = {**body, "settings_from": sources()}
    print(json.dumps(body, ensure_ascii=True))


def show_schedulers(rows: Iterable[Any], *, as_json: bool) -> None:
    """The table of --list-schedulers; rows: catalogue entries."""
    listed = [
        {
            "name": row.name,
            "title": " ".join(part for part in (row.title, row.schedule_type) if part),
            "stochastic": row.stochastic,
            "needs": row.needs,
            "calls_for_20_steps": row.calls(20),
            "aliases": list(row.aliases),
        }
        for row in rows
    ]
    if as_json:
        return show_json(listed)
    print(f"{'name':20} {'U-Net calls':>11}  also known as")
    print(f"{'':20} {'(20 steps)':>11}")
    for row in listed:
        shown = [row["title"]] if row["name"].endswith("-karras") else [row["title"], *row["aliases"]]
        needs = f" (needs {row['needs']})" if row["needs"] else ""
        print(f"{row['name']:20} {row['calls_for_20_steps']:>11}  {', '.join(shown)[:45]}{needs}")


def show_models(models: Iterable[Any], *, as_json: bool, quiet: bool) -> None:
    """The table of --list-models, or the bare names of those that can be used."""
    listed = list(models)
    if as_json:
        keys = ("name", "kind", "path", "size_bytes", "problem")
        return show_json([{key: str(v) if isinstance(v := getattr(row, key), Path) else v for key in keys} for row in listed])
    if quiet:
        return print("\n".join(row.name for row in listed if row.problem is None))
    print(f"{'name':44} {'where':8} {'size':>10}")
    for row in listed:
        print(f"{printable(row.name):44} {row.kind:8} {row.size_bytes / 2**20:>6,.0f} MiB")
        if row.problem:
            print(f"  cannot be used: {printable(row.problem)}")


def show_generated(events: Iterator[Event], *, as_json: bool, quiet: bool) -> None:
    """Paths on stdout as they are written, or the report as JSON."""
    for event in shown(events, quiet=quiet):
        if isinstance(event, ImageRecord) and not as_json:
            for path in filter(None, (event.path, event.progress)):
                print(path, flush=True)
        elif isinstance(event, Saved) and not as_json:
            print(event.path, flush=True)
        elif isinstance(event, GenerateReport):
            if as_json:
                show_json(generated_json(event))
                continue
            for path in filter(None, (event.grid, event.index, *(event.frames or ()))):
                print(path, flush=True)
            if not quiet:
                timing = event.timing
                print(
                    f"{counted(len(event.images), 'picture')} in {timing['total_s']:.2f} s: load {timing['load_s']:.2f}, "
                    f"encode {timing['encode_s']:.2f}, "
                    f"denoise {timing['denoise_s']:.2f}, decode {timing['decode_s']:.2f}; peak memory {_peak(event.memory)}",
                    file=sys.stderr,
                )


def generated_json(report: GenerateReport) -> dict[str, Any]:
    """The document of `generate`; a key that an option asks for is there only with it.

    Those are grid, index, trace, measured, frames and round_trips; progress and guided_calls of a picture. vae_retried_in_fp32 is
    there only where that happened.
    """
    body = dataclasses.asdict(report)
    for key in ("grid", "index", "trace", "measured", "frames", "round_trips"):
        if body[key] is None:
            del body[key]
    return {**body, "images": [image_json(image) for image in report.images]}


def image_json(image: ImageRecord) -> dict[str, Any]:
    """An entry of `images`."""
    optional = ("progress", "guided_calls", "vae_retried_in_fp32")
    return {key: value for key, value in dataclasses.asdict(image).items() if value is not None or key not in optional}


def show_comparison(events: Iterator[Event], *, as_json: bool, quiet: bool) -> None:
    """The table, verdicts and files; with --json the document alone; with quiet the path of the page alone."""
    from ldmcli.console.comparison import show_table
    from ldmcli.reports.comparison import comparison_json

    for event in shown(events, quiet=quiet):
        if isinstance(event, ComparisonReport):
            if as_json:
                show_json(comparison_json(event))
            elif quiet:
                print(event.files["report"])
            else:
                show_table(event)


def show_verified(events: Iterator[Event], *, as_json: bool, quiet: bool) -> None:
    """Whether a picture came out the same. Raises LdmError when it did not."""
    for event in shown(events, quiet=quiet):
        if isinstance(event, Verified):
            found = event.max_difference
            if as_json:
                others = [dataclasses.asdict(each) for each in event.differs_in]
                show_json({"image": event.image, "equal": found == 0, "max_difference": found, "differs_in": others})
            elif found == 0:
                print(f"equal: {printable(event.image)}")
            else:
                print(f"differs by up to {found} of 255: {printable(event.image)}" if found else f"another size: {printable(event.image)}")
            if found is None or found > 1:
                raise LdmError(f"{event.image} could not be made again.", hint=reasons(event))
            if found and not (quiet or as_json):
                print(printable(reasons(event)), file=sys.stderr)


def show_training(events: Iterator[Event], *, as_json: bool, quiet: bool) -> None:
    """Live progress, then the model folder on stdout, or everything measured as JSON."""
    for event in shown(events, quiet=quiet):
        if isinstance(event, RunPlan):
            if as_json:
                show_json(dataclasses.asdict(event))
            else:
                print("\n".join(plan_lines(event)))
        elif isinstance(event, Saved) and event.what == "samples" and not quiet:
            print(f"samples: {event.path}", file=sys.stderr)
        elif isinstance(event, TrainDone):
            if as_json:
                show_json({"run": str(event.run), "model": str(event.model), "step": event.step, **event.figures})
            else:
                if not quiet:
                    print("  ".join(f"{name} {value:.5g}" for name, value in event.figures.items()), file=sys.stderr)
                print(event.model)


def show_scored(events: Iterator[Event], *, as_json: bool, quiet: bool) -> None:
    """The report of `clipscore`; quiet: clip_score alone."""
    for event in shown(events, quiet=quiet):
        if isinstance(event, ClipScoreReport):
            if as_json:
                show_json(clipscore_json(event))
            elif quiet:
                print(f"{event.clip_score:.4f}")
            else:
                print("\n".join(f"{name:18}{printable(value)}".rstrip() for name, value in score_table(event)))


def shown(events: Iterator[Event], *, quiet: bool) -> Iterator[Event]:
    """Pass everything on; notes and progress are drawn on stderr (warnings even when quiet), of several processes by the first alone."""
    from ldmcli.console.progress import LiveProgress

    speaks = process_index() == 0
    with LiveProgress(enabled=speaks and not quiet) as live:
        for event in signals.relayed(events):
            if isinstance(event, Note):
                if speaks and (event.warning or not quiet):
                    live.print_above(event)
            else:
                live.update(event)
                yield event


def _peak(memory: dict[str, int | None]) -> str:
    vram = memory["peak_vram_bytes"]
    return f"{vram / 2**20:.0f} MiB VRAM" if vram is not None else f"{(memory['peak_rss_bytes'] or 0) / 2**20:.0f} MiB RSS"
