"""--measure: how far each approximate choice takes the pictures from those drawn without it, from the same noise."""

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from PIL import Image

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.jobs import Job
from ldmcli.engine.sampling.batch import decoded_together, draw
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.session import Session, open_session
from ldmcli.metrics.psnr import psnr
from ldmcli.models.source import Source
from ldmcli.records.events import Event
from ldmcli.records.pictures import Measured
from ldmcli.runtime.device import Runtime, select_runtime


@dataclass(frozen=True)
class Choice:
    """An approximate choice, and what draws the same picture without it."""

    name: str
    exact_settings: SamplingSettings
    exact_runtime: Runtime


def approximate_choices(
    config: GenerateConfig, settings: SamplingSettings, runtime: Runtime, usual: SamplingSettings | None = None
) -> list[Choice]:
    """Each choice by itself, with the others kept; where there are several, all of them together last.

    usual: what --preset stands in for.
    """
    full, single = usual or settings, runtime
    choices = [] if usual is None else [Choice(f"--preset {config.preset}", usual, runtime)]
    if config.cfg_interval and settings.cfg > 1 and not all(settings.guided_somehow):
        full = full.guided_at((True,) * len(full.guided), full.cfg_reuse)
        everywhere = settings.guided_at((True,) * len(settings.guided), settings.cfg_reuse)
        choices.append(Choice("--cfg-interval {:g},{:g}".format(*config.cfg_interval), everywhere, runtime))
    if config.cfg_reuse and settings.reused:
        full = full.guided_at(full.guided_somehow, 1)
        choices.append(Choice(f"--cfg-reuse {config.cfg_reuse}", settings.guided_at(settings.guided_somehow, 1), runtime))
    if settings.tiled:
        full = replace(full, tiled=False)
        choices.append(Choice("tiled decoding", replace(settings, tiled=False), runtime))
    if settings.vae_dtype != "fp32":
        full = replace(full, vae_dtype="fp32")
        if runtime.dtype == torch.float32:
            choices.append(Choice(f"--vae-dtype {settings.vae_dtype}", replace(settings, vae_dtype="fp32"), runtime))
    if runtime.dtype != torch.float32:
        single = select_runtime(str(runtime.device), "fp32")
        choices.append(Choice(runtime.dtype_name, replace(settings, vae_dtype="fp32"), single))
    if len(choices) > 1:
        choices.append(Choice("all of it", full, single))
    return choices


@dataclass
class ApproximationMeter:
    """The measurements of one command. sessions: by precision, of the VAE too, loaded when they are first needed."""

    source: Source
    sessions: dict[tuple[str, str], Session]
    fuse: bool = False
    """Whether those are opened with inference copies."""
    found: list[Measured] = field(default_factory=list)

    def batch(
        self, jobs: Sequence[Job], choice: Choice, settings: SamplingSettings, pictures: dict[int, tuple[str, float, Image.Image]]
    ) -> Generator[Event, None, list[Measured]]:
        """Draw a batch without the choice. pictures: path, seconds and pixels of what was drawn with it, by number."""
        runtime = choice.exact_runtime
        key = (runtime.dtype_name, choice.exact_settings.vae_dtype)
        if key not in self.sessions:
            self.sessions[key] = open_session(self.source, runtime, vae_dtype=key[1], fuse=self.fuse)
        session = self.sessions[key]
        plain = [replace(job, config=replace(job.config, progressive=None, preview=False)) for job in jobs]
        began = time.perf_counter()
        timing = {"encode_s": 0.0, "denoise_s": 0.0, "decode_s": 0.0}
        latents = yield from draw(session, choice.exact_settings, plain, timing)
        exact = list(decoded_together(session, latents))
        exact_seconds = (time.perf_counter() - began) / len(jobs)
        rows = []
        for job, one in zip(jobs, exact, strict=True):
            if one.picture is None or job.number not in pictures:
                continue
            path, seconds, picture = pictures[job.number]
            decibel, difference = distance(picture, one.picture)
            rows.append(
                Measured(
                    image=path, choice=choice.name, psnr=decibel, max_difference=difference,
                    unet_evaluations=settings.unet_evaluations, exact_unet_evaluations=choice.exact_settings.unet_evaluations,
                    seconds=round(seconds, 4), exact_seconds=round(exact_seconds, 4),
                )
            )  # fmt: skip
        self.found += rows
        return rows


def distance(picture: Image.Image, exact: Image.Image) -> tuple[float | None, int]:
    """PSNR in dB (None when equal) and the largest difference of any channel, 0 to 255, of two pictures of one size."""
    ours, theirs = (torch.from_numpy(np.array(one.convert("RGB"))).permute(2, 0, 1)[None] for one in (picture, exact))
    largest = int((ours.int() - theirs.int()).abs().max())
    return (round(psnr(ours, theirs, span=255).item(), 2) if largest else None), largest


def in_words(row: Measured) -> str:
    """One line for people."""
    apart = "the same pixels" if row.psnr is None else f"PSNR {row.psnr:.1f} dB, at most {row.max_difference} of 255"
    saved = f"{row.unet_evaluations} of {row.exact_unet_evaluations} U-Net evaluations, {row.seconds:.2f} s for {row.exact_seconds:.2f} s"
    return f"{row.image}, with and without {row.choice}: {apart}; {saved}"
