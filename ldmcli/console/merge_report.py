"""What `generate --merge` shows."""

from collections.abc import Iterator

from ldmcli.console.output import image_json, show_json, shown
from ldmcli.records.events import Event
from ldmcli.records.pictures import ImageRecord


def show_merged(events: Iterator[Event], *, as_json: bool, quiet: bool) -> None:
    """Paths on stdout, or a document with the records, also where some are missing."""
    images = []
    try:
        for event in shown(events, quiet=quiet):
            if isinstance(event, ImageRecord):
                images.append(image_json(event))
                if not as_json:
                    print(event.path, flush=True)
    finally:
        if as_json and images:
            show_json({"images": images})
