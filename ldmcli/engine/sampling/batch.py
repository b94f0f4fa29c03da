"""A batch of pictures from noise to pixels in memory. Writes nothing."""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import compress

import torch
from PIL import Image
from torch import Tensor

from ldmcli.diffusion.loop import DenoiseStep
from ldmcli.engine.jobs import Job
from ldmcli.engine.sampling.preview import PreviewWatcher
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.sampling.start import batch_start
from ldmcli.engine.session import Session
from ldmcli.errors import NonFinite
from ldmcli.networks.attention import TextContext
from ldmcli.outputs.images import to_pillow
from ldmcli.records.events import Event
from ldmcli.records.notes import Place, Progress
from ldmcli.reports.progressive import wanted_calls
from ldmcli.runtime.memory import memory

POSITIONS_AT_ONCE = 32 * 32
"""Latent positions that are decoded at a time: with a VAE as SD's those of one picture of 256 x 256, or of sixteen of 64 x 64."""


@dataclass(frozen=True)
class DecodedPicture:
    """One picture, or why there is none; frames: (timestep, what --progressive shows of it), the picture itself last."""

    picture: Image.Image | None
    error: NonFinite | None = None
    frames: list[tuple[float, Image.Image]] = field(default_factory=list)
    seconds: float = 0.0
    """That decoding took."""
    retried: bool = False
    """Half precision overflowed in the VAE, and fp32 did not."""


@dataclass(frozen=True)
class Latents:
    """One picture before it is decoded: (1, C, h, w). on_the_way: (timestep, latents) of what --progressive shows."""

    final: Tensor
    on_the_way: list[tuple[float, Tensor]]
    last_timestep: float
    tiled: bool = False


def encoded(session: Session, settings: SamplingSettings, batch: Sequence[Job]) -> TextContext:
    """The prompts of jobs that share their config; see Session.encode_prompts."""
    config, guided = batch[0].config, any(settings.guided)

    def encode(prompts: list[str]) -> TextContext:
        return session.encode_prompts(
            prompts, [config.negative_prompt] * len(prompts), guided=guided, weighting=config.weighting, long=config.long_prompts
        )

    ends = [job.towards.prompt if job.towards else None for job in batch]
    if not any(ends):
        return encode([job.prompt for job in batch])
    both = encode([job.prompt for job in batch] + [end or job.prompt for job, end in zip(batch, ends, strict=True)])
    return both.between([job.towards.share if job.towards else 0.0 for job in batch], guided=guided)


def walk(session: Session, settings: SamplingSettings, batch: Sequence[Job], context: TextContext) -> Iterator[DenoiseStep]:
    """The denoising loop of such jobs. context: what `encoded` made of their prompts."""
    return session.denoise_from(
        context, batch_start(session, settings, batch), settings.solver,
        guidance=settings.cfg, rescale=batch[0].config.cfg_rescale, guided_calls=settings.guided, reused_calls=settings.reused or None,
    )  # fmt: skip


def draw(
    session: Session, settings: SamplingSettings, batch: list[Job], timing: dict[str, float], place: Place | None = None
) -> Generator[Event, None, list[Latents]]:
    """One batch of jobs that share their config. Yields progress, adds to the timing, returns the Latents of each job.

    place: in the whole command, before the batch.
    """
    clock, config = time.perf_counter(), batch[0].config
    if settings.start is not None and not settings.solver.num_calls:
        mean, _ = session.encode(settings.start.pixels, tiled=settings.tiled)
        timing["encode_s"] += time.perf_counter() - clock
        return [Latents(mean, [], 0.0, settings.tiled) for _ in batch]
    context = encoded(session, settings, batch)
    timing["encode_s"] += -clock + (clock := time.perf_counter())
    steps = walk(session, settings, batch, context)
    kept = wanted_calls(config.progressive, settings.solver.num_calls) if config.progressive else []
    noisy = config.progressive_kind == "xt"
    final, on_the_way = None, []
    watch = PreviewWatcher(session) if config.preview else None
    for step in steps:
        final = step.final
        if final is None and step.index in kept:
            on_the_way.append((step.timestep, step.latents if noisy else step.denoised))
        if watch is not None and final is None:
            yield from watch.look(step)
        now = place and replace(place, done=place.done + len(batch) * (step.index + 1) / step.total)
        stage = f"denoise {batch[0].number + 1}-{batch[-1].number + 1}"
        yield Progress(stage, step.index + 1, step.total, memory(session.device), now)
    assert final is not None
    timing["denoise_s"] += time.perf_counter() - clock
    last = 0.0 if noisy else settings.solver.timesteps[-1]  # there x0 was predicted; the picture itself is x_0
    return [Latents(final[i : i + 1], [(t, x[i : i + 1]) for t, x in on_the_way], last, settings.tiled) for i in range(len(batch))]


def decoded(session: Session, latents: Latents) -> DecodedPicture:
    """One picture from its latents. Where a VAE in half precision overflows on finite latents, it decodes again in fp32."""
    clock, retried = time.perf_counter(), False
    try:
        pixels = session.decode(latents.final, tiled=latents.tiled)
    except NonFinite as error:
        if session.vae_dtype == "fp32" or not latents.final.isfinite().all():
            return DecodedPicture(None, error)
        try:
            pixels, retried = session.decode(latents.final, tiled=latents.tiled, in_fp32=True), True
        except NonFinite as again:
            return DecodedPicture(None, again)
    took = time.perf_counter() - clock
    return _with_frames(session, latents, to_pillow(pixels)[0], took, retried=retried)


def decoded_together(session: Session, latents: Sequence[Latents], wanted: Sequence[bool] | None = None) -> Iterator[DecodedPicture]:
    """The pictures of one batch that are wanted (all), small ones some at a time, so that memory does not grow with the batch.

    Which ones are decoded together does not depend on which are wanted: a resumed run draws the same bytes. Where one of them is not
    finite each is decoded alone, so that it does its neighbours no harm.
    """
    if not latents:
        return
    height, width = latents[0].final.shape[-2:]
    size = decoded_at_once(height, width, latents[0].final.device)
    for first in range(0, len(latents), size):
        group = latents[first : first + size]
        mine = [wanted is None or wanted[number] for number in range(first, first + len(group))]
        if any(mine):
            shown = [decoded(session, group[0])] if len(group) == 1 else _group(session, group, mine)
            yield from shown


def _group(session: Session, group: Sequence[Latents], wanted: Sequence[bool]) -> Iterator[DecodedPicture]:
    """Several that are decoded together."""
    clock, mine = time.perf_counter(), list(compress(group, wanted))
    try:
        pictures = to_pillow(session.decode(torch.cat([one.final for one in group]), tiled=group[0].tiled))
    except NonFinite:
        return (yield from (decoded(session, one) for one in mine))
    took = (time.perf_counter() - clock) / len(mine)
    yield from (_with_frames(session, one, picture, took) for one, picture in zip(mine, compress(pictures, wanted), strict=True))


def decoded_at_once(height: int, width: int, device: torch.device) -> int:
    """How many pictures with latents of this size are decoded at a time. On a GPU one: that goes on while the next batch is drawn."""
    return 1 if device.type == "cuda" else max(POSITIONS_AT_ONCE // (height * width), 1)


def _with_frames(session: Session, latents: Latents, picture: Image.Image, took: float, *, retried: bool = False) -> DecodedPicture:
    """took: seconds that its own decoding took."""
    clock, frames = time.perf_counter(), []
    for t, x in latents.on_the_way:
        with suppress(NonFinite):  # half precision may overflow on the way and not at the end
            frames.append((t, to_pillow(session.decode(x, tiled=latents.tiled, in_fp32=retried))[0]))
    frames.append((latents.last_timestep, picture))
    return DecodedPicture(picture, frames=frames, seconds=took + time.perf_counter() - clock, retried=retried)
