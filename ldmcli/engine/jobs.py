"""Which pictures a command asks for, in which order, with which seeds, and which of them are drawn together. Imports no torch."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ldmcli.config.checks import MAX_SEED, check
from ldmcli.config.generation import GenerateConfig
from ldmcli.config.option import ALWAYS
from ldmcli.config.options import declared, find_key
from ldmcli.config.reading import read_text
from ldmcli.config.starting import OF_A_JOB, StartOptions, parse_variation
from ldmcli.diffusion import catalogue
from ldmcli.errors import UsageError
from ldmcli.records.words import counted

SWEEPABLE = {name: each for name, each in declared(GenerateConfig).items() if each.sweep}
"""What --sweep may vary."""

DIGESTED = (
    "negative_prompt", "model", "vae", "tokenizer", "loras", "allow_pickle", "scheduler", "steps", "cfg", "cfg_rescale", "cfg_interval",
    "weighting", "long_prompts", "spacing", "sigma_clip", "num_images", "batch_size", "width", "height", "progressive",
    "progressive_kind", "format", "metadata", "upscale", "resample", "device", "dtype", "vae_dtype", "tiled_decode",
)  # fmt: skip
"""The settings that name a command in the manifests of earlier versions, in this order. Later ones join where they are not what those
versions did, so that those manifests stay readable."""

UNDIGESTED = {
    "output", "overwrite", "resume", "strict", "seed", "preview", "grid", "index", "trace", "measure", "low_memory", "offline", "shard",
    "force",
}  # fmt: skip
"""What may differ when a command is resumed."""


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt as it was asked for. config: its settings; seed: its own first seed, if it has one; line: of a prompts file."""

    prompt: str
    config: GenerateConfig
    seed: int | None = None
    line: int | None = None


@dataclass(frozen=True)
class Towards:
    """Where a frame lies on the way to another picture: 0 < share < 1. seed, prompt: of that picture, where they are others."""

    seed: int | None
    prompt: str | None
    share: float


@dataclass(frozen=True, slots=True)
class Job:
    """One picture to draw; `number` is its place in the whole command."""

    number: int
    prompt: str
    seed: int
    config: GenerateConfig
    """The settings alone: its `prompts` are empty, so that jobs which can share a batch compare equal."""
    line: int | None = None
    variation: tuple[int, float] | None = None
    """Another seed, and how far to go towards its noise."""
    towards: Towards | None = None
    sequence: int | None = None
    """Which of the ways from picture to picture it is a frame of."""

    @property
    def end_of_sequence(self) -> bool:
        """It is the first or the last frame: a picture as any other, and drawn alone, so that it has the same bytes."""
        return self.sequence is not None and self.towards is None


def changed(config: GenerateConfig, values: dict[str, Any]) -> GenerateConfig:
    """The config with other settings, all of them checked. Raises UsageError."""
    if values.get("scheduler") is not None:
        values = {**values, "scheduler": catalogue.resolve(values["scheduler"]).name}
    new = replace(config, **values)
    if new.steps is not None:
        catalogue.check_steps(catalogue.resolve(new.scheduler or "ddim"), new.steps)
    if new.scheduler is not None and new.spacing is not None:
        catalogue.check_spacing(catalogue.resolve(new.scheduler), new.spacing)
    return new


def parse_sweep(texts: Sequence[str]) -> list[dict[str, Any]]:
    """`cfg=3,5` and `scheduler=ddim,unipc` to every combination, the last one turning fastest. Raises UsageError."""
    axes: list[list[tuple[str, Any]]] = []
    for text in texts:
        key, equals, listed = text.partition("=")
        each = find_key(GenerateConfig, key.strip())
        if not equals or each is None or not each.sweep:
            raise UsageError(f"--sweep {text}: NAME=VALUE,VALUE is needed; NAME is one of {', '.join(SWEEPABLE)}.")
        try:
            axes.append([(each.field, read_text(each, value.strip(), each.name)) for value in listed.split(",")])
        except UsageError as error:
            raise UsageError(f"--sweep {text}: {error.message}", hint=error.hint) from error
    names = [axis[0][0] for axis in axes]
    if len(set(names)) < len(names):
        raise UsageError("--sweep names one option twice.")
    return [dict(combination) for combination in itertools.product(*axes)]


def swept_names(texts: Sequence[str]) -> set[str]:
    """The fields that --sweep varies; what is no option is left to parse_sweep."""
    found = (find_key(GenerateConfig, text.partition("=")[0].strip()) for text in texts)
    return {each.field for each in found if each is not None}


def expand_sweep(requests: Sequence[Request], sweep: Sequence[str]) -> list[Request]:
    """Every request with every combination."""
    if not sweep:
        return list(requests)
    combinations = parse_sweep(sweep)
    return [replace(request, config=changed(request.config, values)) for request in requests for values in combinations]


def plan_jobs(requests: Sequence[Request], seed: int) -> list[Job]:
    """Request by request. Picture i of a prompt has seed + i; the same prompt asked for again with the same settings goes on counting."""
    jobs: list[Job] = []
    used: dict[tuple[GenerateConfig, int], dict[str, int]] = {}
    counts: dict[tuple[int, int], dict[str, int]] = {}  # the same by identity: a config has too many fields to compare a million times
    uncounted = {id(request.config): request.config for request in requests}  # the lines of a text file share theirs
    uncounted = {key: replace(config, prompts=(), num_images=1, seed=None) for key, config in uncounted.items()}
    plain = {key: replace(config, **OF_A_JOB) for key, config in uncounted.items()}
    for request in requests:
        config, settings = uncounted[id(request.config)], plain[id(request.config)]
        first = seed if request.seed is None else request.seed
        if config.frames is not None:
            jobs += [replace(job, number=len(jobs) + i, sequence=len(jobs)) for i, job in enumerate(_frames(request, first, settings))]
            continue
        key = (id(request.config), first)
        count = counts[key] if key in counts else counts.setdefault(key, used.setdefault((config, first), {}))
        before = count.get(request.prompt, 0)
        count[request.prompt] = after = before + request.config.num_images
        variation = parse_variation(config.variation) if config.variation is not None else None
        counted_up = first if variation is None else variation[0]  # as in A1111, the seed itself stays where there is another
        check(counted_up + after - 1 <= MAX_SEED, f"--seed {counted_up} with {counted(after, 'picture')} goes beyond 2**64 - 1.")
        towards = None if config.share is None else Towards(config.seed_to, config.prompt_to, config.share)
        for i in range(before, after):
            own = first + i if variation is None else first
            to = variation and (variation[0] + i, variation[1])
            jobs.append(Job(len(jobs), request.prompt, own, settings, request.line, to, towards))
    return jobs


def _frames(request: Request, seed: int, settings: GenerateConfig) -> Iterator[Job]:
    """From the picture of the prompt and seed to that of --prompt-to and --seed-to: both ends are those pictures themselves."""
    config = request.config
    assert config.frames is not None
    first = Job(0, request.prompt, seed, settings, request.line)
    prompt = request.prompt if config.prompt_to is None else config.prompt_to
    end = replace(first, seed=seed if config.seed_to is None else config.seed_to, prompt=prompt)
    yield first
    for i in range(1, config.frames - 1):
        yield replace(first, towards=Towards(config.seed_to, config.prompt_to, i / (config.frames - 1)))
    yield end


def check_trace(config: GenerateConfig, requests: Sequence[Request]) -> None:
    """Raise UsageError unless --trace has one picture to take apart and a place for its page."""
    if config.trace is None:
        return
    count, page = sum(request.config.pictures for request in requests), config.trace / "trace.html"
    check(count == 1, f"--trace takes one picture apart, and {count} were asked for.", "Give one prompt, without -n and --sweep.")
    check(not config.resume, "--trace watches a picture being drawn, and --resume may skip it.", "Leave out --resume.")
    check(not config.measure, "--trace watches one picture being drawn, and --measure draws it again in another way.", "Leave out one.")
    fresh = all(getattr(request.config, name) is None for request in requests for name in declared(StartOptions))
    check(fresh, "--trace explains a picture that starts from the noise of its seed alone.", "Leave out one of the two.")
    check(
        all(not part.exists() or part.is_dir() for part in (config.trace, *config.trace.parents)),
        f"--trace {config.trace}: a file is in the way.",
    )
    check(not page.exists() or config.overwrite, f"{page} already exists; --trace writes there.", "--overwrite replaces it.")


def batches(jobs: Sequence[Job], size: int, windows: Callable[[Job], int] = lambda job: 1) -> Iterator[list[Job]]:
    """Jobs with the same settings together, in the order in which the settings first appear, `size` at a time.

    windows: how many the job's prompt takes. Prompts share a batch only where that is equal, so that none is padded for its neighbours.
    Cut over the whole command, whatever is finished already: a resumed run draws the same batches, so the same bytes.
    """
    groups: dict[tuple[GenerateConfig, int, int | None], list[Job]] = {}
    for job in jobs:
        alone = job.number if job.end_of_sequence else None
        groups.setdefault((job.config, windows(job), alone), []).append(job)
    for group in groups.values():
        for first in range(0, len(group), size):
            yield group[first : first + size]


def digest(requests: Sequence[Request]) -> str:
    """Names the whole command apart from where it writes: the same in a run that is resumed. 16 hex digits."""
    later = [name for name in declared(GenerateConfig) if name not in (*DIGESTED, *UNDIGESTED)]
    configs = {id(request.config): request.config for request in requests}
    settings = {key: [(name, getattr(config, name)) for name in DIGESTED] for key, config in configs.items()}
    plain, options = GenerateConfig(), declared(GenerateConfig)
    before = {name: getattr(plain, name, None) if (value := options[name].before) is ALWAYS else value for name in later}
    for key, config in configs.items():
        values = ((name, getattr(config, name, None)) for name in later)
        settings[key] += [(name, value) for name, value in values if value != before[name]]
    hashed = hashlib.blake2b(digest_size=8)
    for template in {Path(request.config.output).name for request in requests if "{" in request.config.output}:
        hashed.update(template.encode())
    for request in requests:
        hashed.update(repr((request.prompt, request.seed, settings[id(request.config)])).encode())
    return hashed.hexdigest()
