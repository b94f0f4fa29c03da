"""What a picture records of how it was drawn."""

import platform
from pathlib import Path
from typing import Any

import torch

from ldmcli import __version__
from ldmcli.config.generation import GenerateConfig
from ldmcli.config.options import declared
from ldmcli.diffusion.catalogue import resolve
from ldmcli.engine.jobs import Job
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.outputs.picture_files import picture_texts
from ldmcli.records.pictures import PICTURE_SCHEMA
from ldmcli.records.words import plain
from ldmcli.runtime.device import Runtime, instruction_set
from ldmcli.runtime.urls import public, shown

IN_RECORD = {"seed", "width", "height", "scheduler", "steps", "cfg", "negative_prompt"}
"""Options that every row of a manifest states anyway."""


def picture_facts(
    job: Job, settings: SamplingSettings, runtime: Runtime, model: str, unet_sha256: str, threads: int, batch_size: int
) -> dict[str, Any]:
    """What the `ldm` chunk of a picture holds: no time, path or host, so that files are repeatable."""
    return {
        "schema": PICTURE_SCHEMA,
        "ldm": __version__,
        "torch": torch.__version__,
        "machine": platform.machine(),
        "instruction_set": instruction_set(runtime.device),
        "model": model,
        "unet_sha256": unet_sha256,
        "device": runtime.device.type,
        "dtype": runtime.dtype_name,
        "vae_dtype": settings.vae_dtype,
        "tiled_decode": settings.tiled,
        "threads": threads,
        "batch_size": batch_size,
        "prompt": job.prompt,
        "negative_prompt": job.config.negative_prompt,
        "seed": job.seed,
        "cfg": settings.cfg,
        "cfg_rescale": job.config.cfg_rescale,
        "cfg_interval": settings.cfg_interval,
        "weighting": job.config.weighting,
        "long_prompts": job.config.long_prompts,
        "width": settings.width,
        "height": settings.height,
        "upscale": job.config.upscale,
        "resample": job.config.resample,
        "scheduler": settings.solver.settings,
        "num_unet_calls": settings.solver.num_calls,
        "guided_calls": sum(settings.guided),
        **(settings.start.facts if settings.start else {}),
        **between_facts(job),
        **({"cfg_reuse": settings.cfg_reuse} if settings.cfg_reuse > 1 else {}),
        **({"fuse": True} if by_copies(job.config, runtime) else {}),  # what earlier pictures do not state
        **({"backend": job.config.backend} if job.config.backend != "torch" else {}),
    }


def recorded_texts(facts: dict[str, Any], settings: SamplingSettings, *, retried: bool) -> dict[str, str]:
    """The texts inside a picture. facts: what `picture_facts` returned; retried: fp32 decoded it where half precision overflowed."""
    row = resolve(settings.solver.name)
    return picture_texts(facts | ({"vae_retried_in_fp32": True} if retried else {}), row.title, row.schedule_type)


def by_copies(config: GenerateConfig, runtime: Runtime) -> bool:
    """Whether the networks that draw are inference copies. A trace looks into the plain ones."""
    return config.fuse and config.trace is None and runtime.device.type == "cpu" and runtime.dtype == torch.float32


def other_settings(job: Job) -> dict[str, str]:
    """The options that a picture records, under their names, where they are not the default and no key of its own says them."""
    values = {each: getattr(job.config, name) for name, each in declared(GenerateConfig).items() if each.recorded and name not in IN_RECORD}
    said = {each.name.lstrip("-"): plain(_told(value)) for each, value in values.items() if value != each.default}
    return said | {key.replace("_", "-"): plain(value) for key, value in between_facts(job).items()}


def _told(value: Any) -> Any:
    """A setting without what a URL keeps secret."""
    if isinstance(value, tuple):
        return tuple(map(_told, value))
    return public(value) if isinstance(value, str) else shown(value) if isinstance(value, Path) else value


def between_facts(job: Job) -> dict[str, Any]:
    """Of a picture that is not that of its own seed and prompt alone."""
    facts: dict[str, Any] = {}
    if job.variation is not None:
        seed, amount = job.variation
        facts["variation"] = f"{seed}:{amount!r}"
    if job.towards is not None:
        ends = {"seed_to": job.towards.seed, "prompt_to": job.towards.prompt}
        facts |= {**{key: end for key, end in ends.items() if end is not None}, "share": job.towards.share}
    return facts
