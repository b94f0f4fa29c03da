"""One picture from Python: what was passed becomes a job of the commands, and their loop becomes steps."""

import secrets
import warnings
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ldmcli.api.arguments import DRAWING, read_arguments
from ldmcli.api.checks import one_text
from ldmcli.api.picture import Picture, with_record
from ldmcli.api.step import Step
from ldmcli.api.wording import in_python, python_words
from ldmcli.config.checks import check
from ldmcli.config.generation import GenerateConfig
from ldmcli.config.starting import refuse_senseless
from ldmcli.engine.jobs import Job, changed
from ldmcli.engine.plan import plan_jobs
from ldmcli.engine.requests import Request
from ldmcli.engine.sampling.batch import Latents, decoded, encoded, walk
from ldmcli.engine.sampling.metadata import recorded_texts
from ldmcli.engine.sampling.native_size import too_large
from ldmcli.engine.sampling.open_model import OpenModel
from ldmcli.engine.sampling.settings import SamplingSettings, prompt_notes
from ldmcli.engine.session import Session
from ldmcli.outputs.images import enlarge


def plan(model: OpenModel, config: GenerateConfig, prompt: str, given: Mapping[str, Any]) -> tuple[Job, SamplingSettings]:
    """What to draw, all of it checked. given: the arguments of a call. Warns of what the commands warn of. Raises UsageError."""
    for name in ("init_image", "mask"):
        check(not isinstance(given.get(name), Image.Image), f"{name} takes the path of a file, whose hash the record holds.",
              f'picture.save("start.png"), and pass {name}="start.png".')  # fmt: skip
    config = read_arguments(config, given, DRAWING, "pipe()")
    refuse_senseless(config)
    seed = secrets.randbelow(2**32) if config.seed is None else config.seed
    [job] = plan_jobs([Request(one_text(prompt, "pipe()"), changed(config, {"prompts": (prompt,)}))], seed)
    settings = model.settings(job.config)
    said = prompt_notes([job], model.session, strict=False) if prompt.strip() else ()  # in Python an empty prompt is meant
    for note in chain(said, too_large(model.session, [settings])):
        if note.warning:
            warnings.warn(in_python(note.text), stacklevel=4)  # the line that called the pipeline's method
    return job, settings


def draw(model: OpenModel, job: Job, settings: SamplingSettings) -> Picture:
    """The picture itself."""
    picture = None
    for step in steps(model, job, settings):
        picture = step.picture
    if picture is None:  # strength 0: the walk has no steps
        assert settings.start is not None
        mean, _ = model.session.encode(settings.start.pixels)
        picture = finished(model, job, settings, mean)
    return picture


def steps(model: OpenModel, job: Job, settings: SamplingSettings) -> Iterator[Step]:
    """The walk; none where nothing is to be denoised."""
    session = model.session

    def decode(latents: Tensor) -> Image.Image:
        return decode_one(session, latents, tiled=settings.tiled)[0]

    def finish(latents: Tensor) -> Picture:
        return finished(model, job, settings, latents)

    with python_words():
        if not settings.solver.num_calls:
            return
        for step in walk(session, settings, [job], encoded(session, settings, [job])):
            yield Step(step, decode, finish)


def finished(model: OpenModel, job: Job, settings: SamplingSettings, latents: Tensor) -> Picture:
    """The picture of final latents, with the record of `ldm generate` and the threads that compute now."""
    facts = model.facts(job, settings, torch.get_num_threads())
    picture, retried = decode_one(model.session, latents, tiled=settings.tiled)
    return with_record(enlarge(picture, job.config.upscale, job.config.resample), recorded_texts(facts, settings, retried=retried))


def decode_one(session: Session, latents: Tensor, *, tiled: bool = False) -> tuple[Image.Image, bool]:
    """The picture of latents (1, C, h, w), and whether fp32 did what half precision could not. Raises NonFinite."""
    drawn = decoded(session, Latents(latents.to(session.device), [], 0.0, tiled))
    if drawn.picture is None:
        assert drawn.error is not None
        raise drawn.error
    return drawn.picture, drawn.retried
