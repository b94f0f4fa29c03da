"""The options of the commands as Markdown, from their declarations: ldmcli/guide/options.md and what `ldm help` says of one."""

import textwrap
from collections.abc import Iterable, Iterator

from ldmcli.commands.app import SUMMARIES, load_command
from ldmcli.commands.help import grouped, help_row
from ldmcli.config.option import Option

WIDTH = 120
"""Columns of the lines."""

INTRODUCTION = """\
# All options of all commands

Written from the declarations of the options; `ldm COMMAND --help` says the same. `ldm help options COMMAND` shows one
command, `ldm help --steps` one option. `_` and `-` are the same in the names.

A value comes from the first of these that has one: the command line, the environment (`LDM_STEPS=20`), a file
(`--config FILE.toml`), the model, the default. `[default: ...]` says what holds when nobody says anything.
"""


def options_page() -> str:
    """All commands."""
    return "\n".join([INTRODUCTION, *("\n".join(command_lines(name)) for name in SUMMARIES)])


def command_lines(name: str) -> Iterator[str]:
    """A heading, what the command does, what to type, and its options in groups."""
    function = load_command(name)
    yield f"## {name}\n"
    yield from (f"{wrapped(part)}\n" for part in function.__doc__.split("\n\n"))
    yield "\n".join(["```console", *(f"$ {example}" for example in function.examples), "```"]) + "\n"
    for group, members in grouped(function.options):
        yield f"### {name}: {group}\n"
        yield from map(option_line, members)
        yield ""


def option_line(each: Option) -> str:
    """One item of a list."""
    names, text = help_row(each)
    return wrapped(f"`{names}`: {text}", first="- ", rest="  ")


def options_named(word: str) -> dict[str, list[str]]:
    """Item of an option -> the commands that have it so, for a name with or without dashes."""
    key = word.lstrip("-").replace("-", "_")
    found: dict[str, list[str]] = {}
    for name in SUMMARIES:
        for each in load_command(name).options:
            if each.flags and (key in each.keys or word in each.flags):
                found.setdefault(option_line(each), []).append(name)
    return found


def names_of(options: Iterable[Option]) -> set[str]:
    """Every long flag, for near misses."""
    return {flag for each in options for names in each.flags for flag in names.split("/") if flag.startswith("--")}


def wrapped(text: str, first: str = "", rest: str = "") -> str:
    """Lines of at most WIDTH; no name is broken at its hyphens."""
    text = " ".join(text.split())
    return textwrap.fill(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False, break_long_words=False)
