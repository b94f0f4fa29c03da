"""What a command that draws was asked for: settings, model, prompts."""

import sys
from collections.abc import Sequence
from typing import Any

from ldmcli.config.generation import GenerateConfig
from ldmcli.config.shared import ModelOptions
from ldmcli.engine.jobs import Request, changed, swept
from ldmcli.engine.prompts_file import read_prompts
from ldmcli.errors import UsageError
from ldmcli.models.source import Source, find_model
from ldmcli.records.pictures import FailedItem


def settled(given: dict[str, Any]) -> GenerateConfig:
    """The options as a checked config."""
    return changed(GenerateConfig(), given)


def find_source(options: ModelOptions) -> Source:
    """The model that the options name. The one place where options become a model."""
    return find_model(options.model, vae=options.vae, tokenizer=options.tokenizer, loras=options.loras, allow_pickle=options.allow_pickle)


def asked_for(
    typed: list[str], prompts_file: str | None, sweep: Sequence[str], config: GenerateConfig
) -> tuple[list[Request], list[FailedItem]]:
    """Prompts of the command line, then those of the file; standard input when there are none and something is piped in."""
    piped = sys.stdin is not None and not sys.stdin.isatty()
    if not typed and prompts_file is None and piped:
        prompts_file = "-"
    requests = [Request(prompt, changed(config, {"prompts": (prompt,)})) for prompt in typed]
    unusable: list[FailedItem] = []
    if prompts_file is not None:
        lines, unusable = read_prompts(prompts_file, config)
        requests += lines
    if not requests:
        raise UsageError("no prompt was given.", hint='Try: ldm generate "a dog"')
    return swept(requests, sweep), unusable
