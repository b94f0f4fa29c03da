"""What a command that draws was asked for: settings, model, prompts."""

import sys
from collections.abc import Sequence
from typing import Any

from ldmcli.config.checks import check
from ldmcli.config.generation import GenerateConfig
from ldmcli.config.starting import refuse_senseless
from ldmcli.engine.generate.prompts_file import read_prompts
from ldmcli.engine.jobs import changed, expand_sweep
from ldmcli.engine.requests import Request, RequestList
from ldmcli.errors import UsageError
from ldmcli.records.notes import Note
from ldmcli.records.pictures import FailedItem
from ldmcli.runtime.launcher import process_count

STDIN = "-"


def generate_config(given: dict[str, Any]) -> GenerateConfig:
    """The options as a checked config."""
    return changed(GenerateConfig(), given)


def collect_requests(
    typed: list[str], prompts_file: str | None, sweep: Sequence[str], config: GenerateConfig
) -> tuple[RequestList, list[FailedItem], list[Note]]:
    """Prompts of the command line, then those of the file; standard input when there are none and something is piped in.

    A prompt that is - stands for the prompts on standard input. With them the lines that cannot be used, and what is to be said
    before anything is drawn.
    """
    piped = sys.stdin is not None and not sys.stdin.isatty()
    if not typed and prompts_file is None and piped:
        prompts_file = STDIN
    named = [*typed, *([prompts_file] if prompts_file else [])].count(STDIN)
    check(not named or process_count() == 1, "standard input cannot be read by several processes.", "Put the prompts in a file: -f FILE.")
    check(named < 2, "standard input is named twice, and can be read once.", "Leave out one -.")
    requests = RequestList()
    unusable: list[FailedItem] = []
    notes: list[Note] = []
    sources = [(prompt, prompt == STDIN) for prompt in typed] + ([(prompts_file, True)] if prompts_file is not None else [])
    for text, is_file in sources:
        if is_file:
            read = read_prompts(text, config, requests)
            unusable, notes = [*unusable, *read.failed], [*notes, *map(Note, read.notes)]
        else:
            requests.append(Request(text, changed(config, {"prompts": (text,)})))
    if not requests:
        raise UsageError("no prompt was given.", hint='Try: ldm generate "a dog"')
    swept = expand_sweep(requests, sweep)
    if typed:
        for request in swept:
            if request.line is None:  # the lines were asked when they were read
                refuse_senseless(request.config)
    no_frames = config.frames_as is not None and all(each.frames is None for each in swept.configs)
    check(not no_frames, "--frames-as shows --frames, and there are none.", "Add --frames 8, with --seed-to N or --prompt-to TEXT.")
    return swept, unusable, notes
