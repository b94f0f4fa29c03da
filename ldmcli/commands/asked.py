"""What a command that draws was asked for: settings, model, prompts."""

import sys
from typing import Any

from ldmcli.config.checks import check
from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.jobs import Request, changed, swept
from ldmcli.engine.prompts_file import read_prompts
from ldmcli.errors import UsageError
from ldmcli.models.source import Source, find_model
from ldmcli.records.pictures import FailedItem

STDIN = "-"


def settled(given: dict[str, Any]) -> GenerateConfig:
    """The options as a checked config; a seed of -1 is one that is drawn."""
    return changed(GenerateConfig(), {**given, "seed": None if given.get("seed") == -1 else given.get("seed")})


def find_source(config: GenerateConfig) -> Source:
    """The model that the options name."""
    return find_model(config.model, vae=config.vae, tokenizer=config.tokenizer, loras=config.loras, allow_pickle=config.allow_pickle)


def asked_for(
    typed: list[str], prompts_file: str | None, sweep: list[str], config: GenerateConfig
) -> tuple[list[Request], list[FailedItem]]:
    """Prompts of the command line, then those of the file; standard input when there are none and something is piped in.

    A prompt that is - stands for the prompts on standard input.
    """
    piped = sys.stdin is not None and not sys.stdin.isatty()
    if not typed and prompts_file is None and piped:
        prompts_file = STDIN
    named = [*typed, *([prompts_file] if prompts_file else [])].count(STDIN)
    check(named < 2, "standard input is named twice, and can be read once.", "Leave out one -.")
    requests: list[Request] = []
    unusable: list[FailedItem] = []
    for prompt in typed:
        if prompt == STDIN:
            lines, unusable = read_prompts(STDIN, config)
            requests += lines
        else:
            requests.append(Request(prompt, changed(config, {"prompts": (prompt,)})))
    if prompts_file is not None:
        lines, failed = read_prompts(prompts_file, config)
        requests, unusable = [*requests, *lines], [*unusable, *failed]
    if not requests:
        raise UsageError("no prompt was given.", hint='Try: ldm generate "a dog"')
    return swept(requests, sweep), unusable
