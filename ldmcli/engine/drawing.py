"""From settings and prompts to pictures in memory: what is resolved, what is said, what is recorded. Writes nothing."""

import platform
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ldmcli import __version__
from ldmcli.config.checks import check
from ldmcli.config.generation import TILED_ABOVE, GenerateConfig
from ldmcli.diffusion.catalogue import resolve
from ldmcli.diffusion.guidance import guided_calls
from ldmcli.diffusion.solver import Solver, make_solver
from ldmcli.engine.jobs import Job
from ldmcli.engine.preview import Watch
from ldmcli.engine.session import Session
from ldmcli.errors import NonFinite, UsageError
from ldmcli.images import to_pillow
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Progress
from ldmcli.reports.progressive import wanted_calls
from ldmcli.runtime.device import Runtime
from ldmcli.runtime.memory import memory

DEFAULTS: dict[str, Any] = {"scheduler": "dpm++2m", "steps": 20, "cfg": 7.5}
"""Where neither the command line nor the model says anything."""


@dataclass(frozen=True)
class Settings:
    """Everything resolved: what the pictures depend on besides prompt and seed."""

    solver: Solver
    steps: int
    cfg: float
    width: int
    height: int
    guided: tuple[bool, ...]
    """For every call of the solver, whether the U-Net is evaluated without the prompt too."""
    vae_dtype: str = "fp32"
    tiled: bool = False
    """Whether pictures are decoded in tiles."""
    notes: tuple[str, ...] = ()
    """What the user should know, in sentences."""

    @property
    def unet_evaluations(self) -> int:
        """Of one picture."""
        return len(self.guided) + sum(self.guided)


@dataclass(frozen=True)
class Drawn:
    """One picture, or why there is none; frames: (timestep, what --progressive shows of it), the picture itself last."""

    picture: Image.Image | None
    error: NonFinite | None = None
    frames: list[tuple[float, Image.Image]] = field(default_factory=list)
    seconds: float = 0.0
    """That decoding took."""
    retried: bool = False
    """Half precision overflowed in the VAE, and fp32 did not."""


def resolve_settings(config: GenerateConfig, session: Session, own: dict[str, Any]) -> Settings:
    """Command line over the model's own defaults (`_ldm` in model_index.json) over ours. Raises UsageError."""
    defaults = {**DEFAULTS, **own.get("defaults", {})}
    width, height = config.width or session.native_size, config.height or session.native_size
    scale = session.vae.config.downscale
    for name, value in (("width", width), ("height", height)):
        check(value % scale == 0, f"--{name} {value} is not a multiple of {scale}, the VAE's factor.")
    steps = defaults["steps"] if config.steps is None else config.steps
    row = resolve(config.scheduler or defaults["scheduler"])
    solver = make_solver(row.name, session.schedule, steps, spacing=config.spacing, sigma_clip=config.sigma_clip)
    cfg = float(defaults["cfg"] if config.cfg is None else config.cfg)
    during = guided_calls(solver.timesteps, config.cfg_interval, session.schedule.num_timesteps)
    guided = during if cfg > 1 else (False,) * solver.num_calls
    idle = config.cfg_interval is not None and not any(guided)
    notes = (*solver.notes, *["no timestep of this run is guided: --cfg-interval has no effect but to turn guidance off"] * idle)
    tiled = width * height > TILED_ABOVE if config.tiled_decode is None else config.tiled_decode
    if tiled and config.tiled_decode is None:
        notes = (*notes, f"{width} x {height} pixels are decoded in tiles; --no-tiled-decode takes more memory and has no seams")
    return Settings(solver, steps, cfg, width, height, guided, session.vae_dtype, tiled, notes)


def prompt_notes(jobs: Sequence[Job], session: Session, *, strict: bool) -> Iterator[Note]:
    """What the user should know about the prompts, negative ones too. With `strict` one that is too long is a UsageError."""
    asked = [(job.prompt, job.config.weighting, job.config.long_prompts) for job in jobs]
    negatives = [job.config for job in jobs if job.config.negative_prompt.strip()]
    asked += [(config.negative_prompt, config.weighting, config.long_prompts) for config in negatives]
    for text, weighting, long in dict.fromkeys(asked):
        windows = session.text.windows(text, weighting=weighting, long=long)
        over = windows[0].dropped_tokens
        if over:
            message = f"the prompt has {over} tokens too many; this was left out: {windows[0].dropped[:200]!r}"
            if strict:
                raise UsageError(message, hint="Shorten it, use --long-prompts, or leave out --strict.")
            yield Note(message, warning=True)
        if "<|endoftext|>" in text or "<|startoftext|>" in text:
            yield Note("the prompt spells out one of CLIP's special tokens; text after <|endoftext|> counts for little", warning=True)
        if not text.strip():
            yield Note("an empty prompt draws without any text: whatever the model likes", warning=True)


@dataclass(frozen=True)
class Latents:
    """One picture before it is decoded: (1, C, h, w). on_the_way: (timestep, latents) of what --progressive shows."""

    final: Tensor
    on_the_way: list[tuple[float, Tensor]]
    last_timestep: float
    tiled: bool = False


def draw(session: Session, settings: Settings, batch: list[Job], timing: dict[str, float]) -> Generator[Event, None, list[Latents]]:
    """One batch of jobs that share their config. Yields progress, adds to the timing, returns the Latents of each job."""
    clock, config = time.perf_counter(), batch[0].config
    context = session.encode_prompts(
        [job.prompt for job in batch], [config.negative_prompt] * len(batch),
        guided=any(settings.guided), weighting=config.weighting, long=config.long_prompts,
    )  # fmt: skip
    timing["encode_s"] += -clock + (clock := time.perf_counter())
    shape = session.latent_shape(settings.width, settings.height)
    steps = session.denoise(
        context, [job.seed for job in batch], shape, settings.solver,
        guidance=settings.cfg, rescale=config.cfg_rescale, guided_calls=settings.guided,
    )  # fmt: skip
    kept = wanted_calls(config.progressive, settings.solver.num_calls) if config.progressive else []
    noisy = config.progressive_kind == "xt"
    final, on_the_way = None, []
    watch = Watch(session) if config.preview else None
    for step in steps:
        final = step.final
        if final is None and step.index in kept:
            on_the_way.append((step.timestep, step.latents if noisy else step.denoised))
        if watch is not None and final is None:
            yield from watch.look(step)
        yield Progress(f"denoise {batch[0].number + 1}-{batch[-1].number + 1}", step.index + 1, step.total, memory(session.device))
    assert final is not None
    timing["denoise_s"] += time.perf_counter() - clock
    last = 0.0 if noisy else settings.solver.timesteps[-1]  # there x0 was predicted; the picture itself is x_0
    return [Latents(final[i : i + 1], [(t, x[i : i + 1]) for t, x in on_the_way], last, settings.tiled) for i in range(len(batch))]


def decoded(session: Session, latents: Latents) -> Drawn:
    """One picture from its latents: alone, so that memory does not grow with the batch and a bad neighbour does no harm.

    Where a VAE in half precision overflows on finite latents, it decodes again in fp32.
    """
    clock, retried = time.perf_counter(), False
    try:
        pixels = session.decode(latents.final, tiled=latents.tiled)
    except NonFinite as error:
        if session.vae_dtype == "fp32" or not latents.final.isfinite().all():
            return Drawn(None, error)
        try:
            pixels, retried = session.decode(latents.final, tiled=latents.tiled, in_fp32=True), True
        except NonFinite as again:
            return Drawn(None, again)
    picture = to_pillow(pixels)[0]
    frames = []
    for t, x in latents.on_the_way:
        with suppress(NonFinite):  # half precision may overflow on the way and not at the end
            frames.append((t, to_pillow(session.decode(x, tiled=latents.tiled, in_fp32=retried))[0]))
    frames.append((latents.last_timestep, picture))
    return Drawn(picture, frames=frames, seconds=time.perf_counter() - clock, retried=retried)


def picture_facts(
    job: Job, settings: Settings, runtime: Runtime, model: str, unet_sha256: str, threads: int, batch_size: int
) -> dict[str, Any]:
    """What the `ldm` chunk of a picture holds: no time, path or host, so that files are repeatable."""
    return {
        "schema": 1,
        "ldm": __version__,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "model": model,
        "unet_sha256": unet_sha256,
        "device": runtime.device.type,
        "dtype": runtime.dtype_name,
        "vae_dtype": settings.vae_dtype,
        "tiled_decode": settings.tiled,
        "fuse": job.config.fuse and job.config.trace is None,
        "threads": threads,
        "batch_size": batch_size,
        "prompt": job.prompt,
        "negative_prompt": job.config.negative_prompt,
        "seed": job.seed,
        "cfg": settings.cfg,
        "cfg_rescale": job.config.cfg_rescale,
        "cfg_interval": job.config.cfg_interval,
        "weighting": job.config.weighting,
        "long_prompts": job.config.long_prompts,
        "width": settings.width,
        "height": settings.height,
        "upscale": job.config.upscale,
        "resample": job.config.resample,
        "scheduler": settings.solver.settings,
        "num_unet_calls": settings.solver.num_calls,
        "guided_calls": sum(settings.guided),
    }
