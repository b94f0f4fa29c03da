"""A `generate` command among others: what the folder's manifest knows of it, its numbers, and the part of it that is drawn here."""

import secrets
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ldmcli.config.checks import check
from ldmcli.config.generation import GenerateConfig
from ldmcli.config.sharing import find_shard
from ldmcli.engine.batches import BatchList
from ldmcli.engine.generate.picture_writer import PictureWriter
from ldmcli.engine.jobs import digest
from ldmcli.engine.requests import RequestList
from ldmcli.engine.sampling.open_model import AT_ONCE
from ldmcli.errors import LdmError
from ldmcli.outputs.manifest import Manifest
from ldmcli.outputs.output_plan import OutputPlan
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.records.words import counted
from ldmcli.runtime.device import use_threads
from ldmcli.runtime.team import POLL_S, Team

BEGUN = {"fuse": "--no-fuse, or before there was --fuse", "batch_size": f"--batch-size {AT_ONCE}, or before small pictures had more"}
"""What is said of a folder's earlier way, by setting."""
SEEN_S = 60.0
"""After so long a machine sees what another one wrote on a network disk: NFS remembers for 60 s at most that a file is not there."""


@dataclass(frozen=True)
class Command:
    """What a command draws and writes to. digest: see `jobs.digest`; resumed: whether the manifest knows it already."""

    config: GenerateConfig
    requests: RequestList
    outputs: OutputPlan
    manifest: Manifest | None
    digest: str
    seed: int
    threads: int
    resumed: bool


def check_shared(config: GenerateConfig, requests: RequestList, team: Team) -> None:
    """Raise UsageError for what several processes, or machines that know nothing of each other, cannot do."""
    if team.count > 1:
        check(config.trace is None, "--trace takes one picture apart.", "Start it without the launcher.")
        check(not config.measure, "--measure draws in two ways, one after the other.", "Start it without the launcher.")
    if config.shard is not None:
        same = config.seed is not None or requests.name_their_seeds
        check(same, "--shard: each part would draw another seed.", "Name one for all: --seed 1.")


def find_command(
    team: Team, config: GenerateConfig, outputs: OutputPlan, requests: RequestList, threads: int
) -> Generator[Event, None, Command]:
    """Ask the folder's manifest for the same command, for --resume and --shard, and draw a seed where none was named.

    Process 0 asks, and all do what it finds. What was begun goes on with as many threads, since they are part of how pixels are rounded.
    """
    manifest = Manifest(outputs.folder) if outputs.file is None else None
    before, way = None, dict[str, Any]()
    resume = config.resume or team.restarted  # a launcher that starts all anew cannot add --resume
    if team.main and manifest and (resume or config.shard):
        for way in ways(config):
            if before := manifest.started(digest(in_that_way(requests, way)), config.seed):
                break
        else:
            way = {}
    if way:
        yield Note(f"{outputs.folder} was begun with {' and '.join(BEGUN[name] for name in way)}, and goes on so")
    if resume and not before:
        yield Note(f"{outputs.folder} knows of no such command yet; it starts from the beginning")
    needed = not requests.name_their_seeds
    drawn = config.seed if config.seed is not None else secrets.randbelow(2**32) if needed else 0  # one that nothing uses is no chance
    known: dict[str, Any] = {"seed": drawn, "threads": threads, "first": 0, **(before or {})}
    known, way, resumed = team.agree("command", (known, way, before is not None))
    if config.seed is None and needed:
        yield Note(f"seed {known['seed']} ({'as before' if resumed else 'drawn'})")
    config, requests = replace(config, **way), in_that_way(requests, way)
    if known["threads"] != threads and isinstance(known["threads"], int) and 1 <= known["threads"] <= 1024:
        threads = known["threads"]
        yield Note(f"{outputs.folder} was begun with {counted(threads, 'thread')}, and goes on so")
        use_threads(threads)
    return Command(config, requests, outputs.numbered_from(known["first"]), manifest, digest(requests), known["seed"], threads, resumed)


def ways(config: GenerateConfig) -> Iterator[dict[str, Any]]:
    """Settings by which the same command line may have begun earlier: none, or those of a version whose defaults were others."""
    earlier = [{"batch_size": AT_ONCE}] if config.batch_size is None else []
    copies = [{"fuse": False}] if config.fuse else []
    return (one | other for one in [{}, *copies] for other in [{}, *earlier])


def in_that_way(requests: RequestList, way: dict[str, Any]) -> RequestList:
    """The same with some settings changed."""
    return requests.with_settings(lambda config: replace(config, **way)) if way else requests


def begin(command: Command, writer: PictureWriter, team: Team, pictures: int) -> None:
    """Claim the numbers of the command, in process 0 for all. Raises LdmError where another one does not see the same folder."""
    if team.main:
        writer.begin(command.digest, command.seed, pictures, command.threads, join=command.config.shard is not None)
    first, resumed = team.agree("first", (writer.outputs.first, writer.resumed))
    writer.outputs, writer.resumed = writer.outputs.numbered_from(first), resumed
    if not team.main and command.manifest:
        _see_the_start(command, writer.outputs.folder, team)


def _see_the_start(command: Command, folder: Path, team: Team) -> None:
    """Wait until the line of process 0 is in the manifest here. Raises LdmError when it does not appear."""
    last = time.monotonic() + SEEN_S
    while not Manifest(folder).started(command.digest, command.seed):
        if time.monotonic() > last:
            raise LdmError(
                f"{folder} of process {team.index} is not that of process 0.",
                hint="Put it on a disk that all machines share, or use --shard and --merge.",
            )
        team.look_at_the_first()
        time.sleep(POLL_S)


def parts_of(config: GenerateConfig, batches: BatchList) -> Generator[Event, None, BatchList]:
    """Of the batches of the whole command, which are cut as on one machine, those of --shard."""
    if config.shard is None:
        return batches
    shard = find_shard(config.shard)
    part = batches.part(shard)
    of = f"{part.pictures} of {counted(batches.pictures, 'picture')}"
    yield Note(f"part {shard.number} of {shard.count} ({shard.told_by}): {of}")
    return part
