"""The options of a command as text, in groups: names, choices, what they do, defaults, aliases. Plain text: Rich would double the time."""

import textwrap
from collections.abc import Iterable, Iterator

from ldmcli.config.option import GROUPS, Option

WIDEST = 30
"""Columns of the names; longer ones have a line of their own."""


def help_lines(options: Iterable[Option], width: int) -> Iterator[str]:
    """Every group under its title, as wide as the terminal."""
    for group, members in grouped(options):
        rows = [help_row(each) for each in members]
        rows += [("-h, --help", "Show this message and exit.")] if group == "General" else []
        yield f"\n{group}:"
        yield from table_lines(rows, width)
    yield ""


def grouped(options: Iterable[Option]) -> Iterator[tuple[str, list[Option]]]:
    """(title, its options) of every group that has some, in the order of the help."""
    listed = list(options)
    for group in GROUPS:
        if members := [each for each in listed if each.group == group]:
            yield group, members


def table_lines(rows: list[tuple[str, str]], width: int) -> Iterator[str]:
    """Two columns. Names of options are never broken at their hyphens."""
    left = 4 + min(max(len(names) for names, _ in rows), WIDEST)
    for names, text in rows:
        wrapped = textwrap.wrap(text, width - left, break_on_hyphens=False, break_long_words=False)
        if len(names) > WIDEST:
            yield f"  {names}"
            names = ""
        yield from (f"{f'  {names}' * (not number):{left}}{line}" for number, line in enumerate(wrapped))


def metavar(each: Option) -> str:
    """What stands for the value: the choices, where there are any."""
    if each.metavar:
        return each.metavar
    if each.kind.choices:
        return "|".join(each.kind.choices)
    return {int: "INTEGER", float: "NUMBER", str: "TEXT"}.get(each.kind.scalar, "PATH")


def shown_default(each: Option) -> str:
    """What holds when nobody says anything; nothing where that is nothing."""
    if each.default_is:
        return each.default_is
    if each.kind.scalar is bool and not each.kind.optional:
        opposite = any("/" in flag for flag in each.flags)
        return ("on" if each.default else "off") if opposite else ""
    if each.default in (None, (), "") or not isinstance(each.default, str | int | float | tuple):
        return ""
    if isinstance(each.default, float):
        return f"{each.default:g}"
    return ",".join(map(str, each.default)) if isinstance(each.default, tuple) else f"{each.default}"


def help_row(each: Option) -> tuple[str, str]:
    """(names and value, what it does, its default and its other names)."""
    if each.argument:
        return f"[{each.metavar}]", each.help + (f" [default: {said}]" if (said := shown_default(each)) else "")
    short = [flag for flag in each.flags if not flag.startswith("--")]
    long = [flag for flag in each.flags if flag.startswith("--")]
    first = f"{', '.join([*short, long[0].replace('/', ' / ')])}"
    value = "" if each.kind.scalar is bool else f" {metavar(each)}"
    details = [f"default: {said}"] if (said := shown_default(each)) else []
    details += [f"also {', '.join(flag.replace('/', ' / ') for flag in long[1:])}"] if long[1:] else []
    return first + value, each.help + (f" [{'; '.join(details)}]" if details else "")
