"""What the user sees: results on stdout, talk on stderr. Draws the records that the engine yields."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from ldmcli.console.text import printable
from ldmcli.errors import LdmError
from ldmcli.records import Event, GenerateReport, ImageRecord, Note, Saved, TrainDone, Verified


def show_error(message: str, hint: str) -> None:
    """One line of what is wrong, one of what to do."""
    print(f"error: {printable(message)}", file=sys.stderr)
    if hint:
        print(printable(hint), file=sys.stderr)


def show_json(body: Any) -> None:
    """The one document of --json."""
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


def show_generated(events: Iterator[Event], *, as_json: bool, quiet: bool) -> None:
    """Paths on stdout as they are written, or the report as JSON."""
    for event in _shown(events, quiet=quiet):
        if isinstance(event, ImageRecord) and not as_json:
            for path in filter(None, (event.path, event.progress)):
                print(path, flush=True)
        elif isinstance(event, GenerateReport):
            if as_json:
                show_json(generated_json(event))
            elif not quiet:
                timing = event.timing
                print(
                    f"{len(event.images)} pictures in {timing['total_s']:.2f} s: load {timing['load_s']:.2f}, "
                    f"encode {timing['encode_s']:.2f}, "
                    f"denoise {timing['denoise_s']:.2f}, decode {timing['decode_s']:.2f}; peak memory {_peak(event.memory)}",
                    file=sys.stderr,
                )


def generated_json(report: GenerateReport) -> dict[str, Any]:
    """The document of `generate`; `progress`, `guided_calls` and `measured` are in it where an option asks for them."""
    body = dataclasses.asdict(report)
    if report.measured is None:
        del body["measured"]
    for image in body["images"]:
        for key in ("progress", "guided_calls"):
            if image[key] is None:
                del image[key]
    return body


def show_verified(events: Iterator[Event], *, as_json: bool, quiet: bool) -> None:
    """Whether a picture came out the same. Raises LdmError when it did not."""
    for event in _shown(events, quiet=quiet):
        if isinstance(event, Verified):
            found = event.max_difference
            if as_json:
                show_json({"image": event.image, "equal": found == 0, "max_difference": found})
            elif found == 0:
                print(f"equal: {printable(event.image)}")
            else:
                print(f"differs by up to {found} of 255: {printable(event.image)}" if found else f"another size: {printable(event.image)}")
            if found is None or found > 1:
                raise LdmError(f"{event.image} could not be made again.", hint="Other versions, threads or processors change pixels.")


def show_training(events: Iterator[Event], *, as_json: bool, quiet: bool) -> None:
    """Live progress, then the model folder on stdout, or everything measured as JSON."""
    for event in _shown(events, quiet=quiet):
        if isinstance(event, Saved) and event.what == "samples" and not quiet:
            print(f"samples: {event.path}", file=sys.stderr)
        elif isinstance(event, TrainDone):
            if as_json:
                show_json({"run": str(event.run), "model": str(event.model), "step": event.step, **event.figures})
            else:
                if not quiet:
                    print("  ".join(f"{name} {value:.5g}" for name, value in event.figures.items()), file=sys.stderr)
                print(event.model)


def _shown(events: Iterator[Event], *, quiet: bool) -> Iterator[Event]:
    """Pass everything on; notes and progress are drawn on stderr (warnings even when quiet)."""
    from ldmcli.console.progress import LiveProgress

    with LiveProgress(enabled=not quiet) as live:
        for event in events:
            if isinstance(event, Note):
                if event.warning or not quiet:
                    live.aside(event)
            else:
                live.update(event)
                yield event


def _peak(memory: dict[str, int | None]) -> str:
    vram = memory["peak_vram_bytes"]
    return f"{vram / 2**20:.0f} MiB VRAM" if vram is not None else f"{(memory['peak_rss_bytes'] or 0) / 2**20:.0f} MiB RSS"
