"""Draw the pictures of a `generate` command: plan, load, denoise batch by batch, write."""

import platform
import secrets
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ldmcli import __version__
from ldmcli.config import GenerateConfig, check
from ldmcli.diffusion.catalogue import resolve
from ldmcli.diffusion.solver import Solver, make_solver
from ldmcli.engine.jobs import Job, plan_jobs
from ldmcli.engine.outputs import OutputPlan, plan_outputs, write_new
from ldmcli.engine.session import Session, open_session
from ldmcli.errors import UsageError
from ldmcli.images import png_chunks, to_pillow
from ldmcli.models.hashes import weights_hash
from ldmcli.models.loading import read_json
from ldmcli.models.source import Source
from ldmcli.records import Event, GenerateReport, ImageRecord, Note, Progress
from ldmcli.runtime.device import Runtime, select_runtime, set_threads
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


def run_generate(config: GenerateConfig, source: Source) -> Iterator[Event]:
    """Yield notes, progress, a record per picture and the report. Every picture is on disk before its record is yielded."""
    outputs = plan_outputs(config, len(config.prompts) * config.num_images)  # what cannot be written fails before anything is loaded
    started = time.perf_counter()
    threads = set_threads()
    runtime = select_runtime(config.device, config.dtype)
    yield Note(f"device {runtime.device}: {runtime.device_reason}; dtype {runtime.dtype_name}: {runtime.dtype_reason}")
    seed = secrets.randbelow(2**32) if config.seed is None else config.seed
    if config.seed is None:
        yield Note(f"seed {seed} (drawn)")
    index = read_json(source.folder / "model_index.json")
    session = open_session(source.folder, runtime)
    settings = resolve_settings(config, session, index.get("_ldm", {}))
    yield from (Note(text) for text in settings.solver.notes)
    timing = {"load_s": time.perf_counter() - started, "encode_s": 0.0, "denoise_s": 0.0, "decode_s": 0.0}
    yield from prompt_notes(config, session)

    jobs = plan_jobs(config, seed)
    facts = picture_facts(config, settings, runtime, source, threads)
    records: list[ImageRecord] = []
    for first in range(0, len(jobs), config.batch_size):
        batch = jobs[first : first + config.batch_size]
        began = time.perf_counter()
        pictures = yield from draw(session, settings, config, batch, timing)
        seconds = (time.perf_counter() - began) / len(batch)
        for job, picture in zip(batch, pictures, strict=True):
            truncated = session.text.tokens(job.prompt).dropped_tokens
            record = save_picture(picture, job, config, settings, facts, outputs, truncated_tokens=truncated, seconds=seconds)
            records.append(record)
            yield record
    timing["total_s"] = time.perf_counter() - started
    used = memory(runtime.device)
    yield GenerateReport(
        model=source.name,
        device=str(runtime.device),
        dtype=runtime.dtype_name,
        images=records,
        failed=[],
        timing={name: round(value, 4) for name, value in timing.items()},
        memory={"peak_rss_bytes": used.peak_rss_bytes, "peak_vram_bytes": used.peak_vram_bytes},
    )


def resolve_settings(config: GenerateConfig, session: Session, own: dict[str, Any]) -> Settings:
    """Command line over the model's own defaults (`_ldm` in model_index.json) over ours."""
    defaults = {**DEFAULTS, **own.get("defaults", {})}
    width, height = config.width or session.native_size, config.height or session.native_size
    scale = session.vae.config.downscale
    for name, value in (("width", width), ("height", height)):
        check(value % scale == 0, f"--{name} {value} is not a multiple of {scale}, the VAE's factor.")
    steps = defaults["steps"] if config.steps is None else config.steps
    row = resolve(config.scheduler or defaults["scheduler"])
    solver = make_solver(row.name, session.schedule, steps, spacing=config.spacing, sigma_clip=config.sigma_clip)
    return Settings(solver, steps, float(defaults["cfg"] if config.cfg is None else config.cfg), width, height)


def prompt_notes(config: GenerateConfig, session: Session) -> Iterator[Note]:
    """What the user should know about the prompts. With --strict a prompt that is too long is a UsageError."""
    for text in dict.fromkeys((*config.prompts, config.negative_prompt)):
        tokens = session.text.tokens(text)
        if tokens.dropped_tokens:
            message = f"the prompt has {tokens.dropped_tokens} tokens too many; this was left out: {tokens.dropped[:200]!r}"
            if config.strict:
                raise UsageError(message, hint="Shorten it, or leave out --strict.")
            yield Note(message, warning=True)
        if "<|endoftext|>" in text or "<|startoftext|>" in text:
            yield Note("the prompt spells out one of CLIP's special tokens; text after <|endoftext|> counts for little", warning=True)
    if any(not prompt.strip() for prompt in config.prompts):
        yield Note("an empty prompt draws without any text: whatever the model likes", warning=True)


def draw(
    session: Session, settings: Settings, config: GenerateConfig, batch: list[Job], timing: dict[str, float]
) -> Generator[Event, None, list[Image.Image]]:
    """Pictures of one batch as the generator's value; adds to the timing, yields progress."""
    clock = time.perf_counter()
    guided = settings.cfg > 1
    context = session.encode_prompts([job.prompt for job in batch], [config.negative_prompt] * len(batch), guided=guided)
    timing["encode_s"] += -clock + (clock := time.perf_counter())
    shape = session.latent_shape(settings.width, settings.height)
    steps = session.denoise(context, [job.seed for job in batch], shape, settings.solver, guidance=settings.cfg, rescale=config.cfg_rescale)
    latents = None
    for step in steps:
        latents = step.final
        yield Progress(f"denoise {batch[0].number + 1}-{batch[-1].number + 1}", step.index + 1, step.total, memory(session.device))
    assert latents is not None
    timing["denoise_s"] += -clock + (clock := time.perf_counter())
    # One at a time: the decoder's memory does not grow with the batch, and a picture does not depend on its neighbours.
    pictures = [to_pillow(session.decode(one))[0] for one in latents.split(1)]
    timing["decode_s"] += time.perf_counter() - clock
    return pictures


def picture_facts(config: GenerateConfig, settings: Settings, runtime: Runtime, source: Source, threads: int) -> dict[str, Any]:
    """What the `ldm` chunk of every picture holds besides prompt and seed: no time, path or host, so that files are repeatable."""
    return {
        "schema": 1,
        "ldm": __version__,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "model": source.name,
        "unet_sha256": weights_hash(source.folder, "unet"),
        "device": runtime.device.type,
        "dtype": runtime.dtype_name,
        "threads": threads,
        "batch_size": config.batch_size,
        "negative_prompt": config.negative_prompt,
        "cfg": settings.cfg,
        "cfg_rescale": config.cfg_rescale,
        "width": settings.width,
        "height": settings.height,
        "upscale": config.upscale,
        "resample": config.resample,
        "scheduler": settings.solver.settings,
        "num_unet_calls": settings.solver.num_calls,
    }


def save_picture(
    picture: Image.Image,
    job: Job,
    config: GenerateConfig,
    settings: Settings,
    facts: dict[str, Any],
    outputs: OutputPlan,
    *,
    truncated_tokens: int,
    seconds: float,
) -> ImageRecord:
    """Enlarge if asked, write, and say what was written. seconds: this picture's share of its batch."""
    if config.upscale > 1:
        filters = {"nearest": Image.Resampling.NEAREST, "lanczos": Image.Resampling.LANCZOS}
        picture = picture.resize((picture.width * config.upscale, picture.height * config.upscale), filters[config.resample])
    row = resolve(settings.solver.name)
    chunks = png_chunks({**facts, "prompt": job.prompt, "seed": job.seed}, row.title, row.schedule_type) if config.metadata else None
    path: Path = write_new(picture, chunks, outputs, job.number, job.seed)
    return ImageRecord(
        path=str(path),
        prompt=job.prompt,
        negative_prompt=config.negative_prompt,
        seed=job.seed,
        steps=settings.steps,
        num_unet_calls=settings.solver.num_calls,
        scheduler=settings.solver.name,
        cfg=settings.cfg,
        width=picture.width,
        height=picture.height,
        truncated_tokens=truncated_tokens,
        seconds=round(seconds, 4),
    )
