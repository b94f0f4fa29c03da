"""Which pictures a command asks for, by its prompts, settings and sweeps, and the name of it all. Imports no torch."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ldmcli.config.checks import check
from ldmcli.config.generation import GenerateConfig
from ldmcli.config.option import ALWAYS
from ldmcli.config.options import declared, find_key
from ldmcli.config.reading import read_text
from ldmcli.config.starting import StartOptions
from ldmcli.diffusion import catalogue
from ldmcli.engine.requests import RequestList
from ldmcli.errors import UsageError

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


def expand_sweep(requests: RequestList, sweep: Sequence[str]) -> RequestList:
    """Every request with every combination. Raises UsageError."""
    if not sweep:
        return requests
    combinations = parse_sweep(sweep)
    made: dict[int, list[GenerateConfig]] = {}
    expanded = RequestList()
    for request in requests:
        if id(request.config) not in made:
            made[id(request.config)] = [changed(request.config, values) for values in combinations]
        for config in made[id(request.config)]:
            expanded.append(replace(request, config=config))
    return expanded


def check_trace(config: GenerateConfig, requests: RequestList) -> None:
    """Raise UsageError unless --trace has one picture to take apart and a place for its page."""
    if config.trace is None:
        return
    count, page = requests.pictures, config.trace / "trace.html"
    check(count == 1, f"--trace takes one picture apart, and {count} were asked for.", "Give one prompt, without -n and --sweep.")
    check(not config.resume, "--trace watches a picture being drawn, and --resume may skip it.", "Leave out --resume.")
    check(not config.measure, "--trace watches one picture being drawn, and --measure draws it again in another way.", "Leave out one.")
    fresh = all(getattr(each, name) is None for each in requests.configs for name in declared(StartOptions))
    check(fresh, "--trace explains a picture that starts from the noise of its seed alone.", "Leave out one of the two.")
    check(
        all(not part.exists() or part.is_dir() for part in (config.trace, *config.trace.parents)),
        f"--trace {config.trace}: a file is in the way.",
    )
    check(not page.exists() or config.overwrite, f"{page} already exists; --trace writes there.", "--overwrite replaces it.")


def digest(requests: RequestList) -> str:
    """Names the whole command apart from where it writes: the same in a run that is resumed. 16 hex digits."""
    later = [name for name in declared(GenerateConfig) if name not in (*DIGESTED, *UNDIGESTED)]
    plain, options = GenerateConfig(), declared(GenerateConfig)
    before = {name: getattr(plain, name, None) if (value := options[name].before) is ALWAYS else value for name in later}
    told = []
    for config in requests.configs:
        settings = [(name, getattr(config, name)) for name in DIGESTED]
        settings += [(name, value) for name in later if (value := getattr(config, name, None)) != before[name]]
        told.append(repr(settings))
    hashed = hashlib.blake2b(digest_size=8)
    for template in {Path(config.output).name for config in requests.configs if "{" in config.output}:
        hashed.update(template.encode())
    for number, place in enumerate(requests.config_numbers):  # what repr says of (prompt, seed, settings)
        hashed.update(f"({requests.prompts[number]!r}, {requests.seed(number)!r}, {told[place]})".encode())
    return hashed.hexdigest()
