"""The same jobs drawn by one solver after another: latents, time and counted U-Net calls, and the reference, kept on disk."""

import hashlib
import json
import os
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ldmcli.diffusion.loop import DenoiseStep
from ldmcli.engine.jobs import Job
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.session import Session
from ldmcli.errors import NonFinite
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Place, Progress
from ldmcli.records.words import counted
from ldmcli.runtime.files import write_file
from ldmcli.runtime.memory import memory
from ldmcli.runtime.team import Team
from ldmcli.runtime.teamwork import share_out

# N pictures, C latent channels, h w latent size


@dataclass(frozen=True)
class WalkResult:
    """latents: (N, C, h, w) on the CPU; seconds: of the denoising alone; calls: evaluations of the U-Net per batch, as counted."""

    latents: Tensor
    seconds: float
    calls: int
    batches: int


def walk(
    session: Session, settings: SamplingSettings, jobs: Sequence[Job], stage: str, *, calls: int | None = None,
    part: tuple[int, int] = (0, 1), place: Place | None = None,
) -> Generator[Event, None, WalkResult]:  # fmt: skip
    """Denoise one batch. Yields progress, which is not timed. Raises NonFinite.

    calls: stop after so many, to warm up; the latents are then those of the last call's input. part: which batch of the stage this is, from
    0, and how many it has; place: of the stage in the whole comparison.
    """
    seconds, seen, total = 0.0, 0, part[1] * settings.solver.num_calls

    def count(*_: Any) -> None:
        nonlocal seen
        seen += 1

    hook = session.unet.register_forward_hook(count)
    try:
        shape = session.latent_shape(settings.width, settings.height)
        negatives = [job.config.negative_prompt for job in jobs]
        context = session.encode_prompts([job.prompt for job in jobs], negatives, guided=settings.cfg > 1)
        seeds, rescale = [job.seed for job in jobs], jobs[0].config.cfg_rescale
        steps = iter(session.denoise(context, seeds, shape, settings.solver, guidance=settings.cfg, rescale=rescale))
        for i in range(min(calls or settings.solver.num_calls, settings.solver.num_calls)):
            step, took = timed_next(steps, session.device)
            seconds += took
            done = part[0] * step.total + i + 1
            now = place and replace(place, done=place.done + done / total)
            yield Progress(stage, done, total, memory(session.device), now)
    finally:
        hook.remove()
    final = step.latents if step.final is None else step.final
    if not final.isfinite().all():
        raise NonFinite(f"{settings.solver.name} at {counted(settings.steps, 'step')} gives NaN or infinity.", hint="Try --dtype fp32.")
    return WalkResult(final.float().cpu(), seconds, seen, 1)


def walk_all(
    team: Team, session: Session, settings: SamplingSettings, jobs: Sequence[Job], batch_size: int, stage: str, place: Place
) -> Generator[Event, None, WalkResult | None]:
    """Every batch by whichever process asks for the next. Returns None in all processes but the first. Raises NonFinite there."""
    parts = [jobs[first : first + batch_size] for first in range(0, len(jobs), batch_size)]

    def work(number: int) -> Generator[Event, None, WalkResult]:
        return walk(session, settings, parts[number], stage, part=(number, len(parts)), place=place)

    walked = yield from share_out(team, pieces_of(place), len(parts), work)
    if walked is None:
        return None
    return WalkResult(torch.cat([one.latents for one in walked]), sum(one.seconds for one in walked), walked[0].calls, len(parts))


def pieces_of(place: Place) -> str:
    """What the processes of a team call the batches of one cell; two cells may be the same scheduler at as many steps."""
    return f"cell {place.number}"


def timed_next(steps: Any, device: torch.device) -> tuple[DenoiseStep, float]:
    """The next step, and the seconds until the device had finished it."""
    synchronise(device)
    began = time.perf_counter()
    step = next(steps)
    synchronise(device)
    return step, time.perf_counter() - began


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def reference_latents(
    team: Team, session: Session, settings: SamplingSettings, jobs: Sequence[Job], batch_size: int, facts: Sequence[dict[str, Any]],
    folder: Path,
) -> Generator[Event, None, tuple[Tensor, bool] | None]:  # fmt: skip
    """(N, C, h, w) of the reference walk, and whether all of it was on disk. facts: what decides each picture, and so names its file.

    A batch of which any picture is missing is drawn whole, so that the numbers do not depend on what was there. A damaged file is told.
    Returns None in all processes but the first. Raises LdmError where a file cannot be written.
    """
    paths = [folder / f"{hashlib.sha256(json.dumps(fact, sort_keys=True).encode()).hexdigest()[:32]}.safetensors" for fact in facts]
    shape = session.latent_shape(settings.width, settings.height)

    def work(number: int) -> Generator[Event, None, tuple[Tensor, bool]]:
        part = slice(number * batch_size, (number + 1) * batch_size)
        read = [_read(path, shape) for path in paths[part]]
        kept = [one for one in read if one is not None]
        if len(kept) == len(read):
            return torch.stack(kept), True
        for path in (path for path, one in zip(paths[part], read, strict=True) if one is None and os.path.lexists(path)):
            yield Note(f"{path} is damaged, and drawn again", warning=True)
        stage = f"reference {part.start + 1}-{min(part.stop, len(jobs))} of {len(jobs)}"
        walked = yield from walk(session, settings, jobs[part], stage)
        for path, one in zip(paths[part], walked.latents, strict=True):
            write_file(path, save({"latents": one.contiguous()}))
        return walked.latents, False

    found = yield from share_out(team, "reference", -(-len(jobs) // batch_size), work)
    return None if found is None else (torch.cat([latents for latents, _ in found]), all(there for _, there in found))


def _read(path: Path, shape: tuple[int, int, int]) -> Tensor | None:
    with suppress(OSError, SafetensorError, KeyError, ValueError):  # absent or damaged: it is drawn again
        latents = load_file(path)["latents"] if path.is_file() else torch.empty(0)
        if (latents.shape, latents.dtype) == (shape, torch.float32) and latents.isfinite().all():
            return latents
    return None
