"""The folder of a training run: whose it is, and what it says of its pictures."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ldmcli.config.training import TrainConfig
from ldmcli.data.captioned import CaptionedImages
from ldmcli.engine.train.run_lock import locked
from ldmcli.engine.train.run_log import disk_errors
from ldmcli.engine.train.run_settings import MAY_CHANGE, differences, settings_of, told_of_copies
from ldmcli.errors import UsageError
from ldmcli.runtime.files import replace_file
from ldmcli.runtime.processes import Processes
from ldmcli.runtime.urls import shown


@contextmanager
def run_folder(config: TrainConfig, processes: Processes) -> Iterator[None]:
    """The output folder, locked against a second trainer by the first process. Raises LdmError where its disk, or that of the cache,
    turns out to be full."""
    with disk_errors(f"{config.output} or its cache", "Make room, then go on with --resume auto."):
        if processes.main:
            with locked(config):
                yield
        else:
            yield


def write_skipped(run: Path, data: CaptionedImages, bad: dict[str, str]) -> None:
    """RUN/skipped.jsonl: id, file and reason of every picture that is not trained on. bad: number of the picture -> reason."""
    rows = [asdict(skipped) for skipped in data.skipped]
    for number, reason in bad.items():
        image = data.images[int(number)]
        rows.append({"id": image.id, "file": shown(image.path), "reason": reason})
    replace_file(run / "skipped.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def agree_on_settings(config: TrainConfig, data: CaptionedImages, processes: Processes) -> dict[str, Any]:
    """See settings_of. Raises UsageError when another process was started with other options, or finds other data."""
    settings, *others = processes.gather(settings_of(config, data))
    for number, other in enumerate(others, 1):
        list(told_of_copies(other, settings))  # each machine may have a copy of its own
        if apart := differences(settings, other, MAY_CHANGE, "process 0", f"process {number}"):
            raise UsageError(f"processes of one run do not agree: {apart}.", hint="Start all with the same options on the same files.")
    return settings
