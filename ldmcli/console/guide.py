"""Pages of the guide on a terminal, through its pager, or as plain text in a pipe."""

import os
import re
import sys

from ldmcli.console.output import show_json
from ldmcli.console.text import printable

LINK = re.compile(r"!?\[([^\]]*)\]\(([^)\s]+)\)")
PAGER = "FRX"
"""What less is told unless LESS says something: colours as they are, and nothing to leave where all fits on the screen."""

WIDEST = 110
"""Columns, also on a wider terminal."""


def show_guide(asked: str, text: str, *, as_json: bool) -> None:
    """text: Markdown. asked: what was typed, for the JSON document."""
    text = text.strip()
    if as_json:
        return show_json({"asked": asked, "text": text})
    if not sys.stdout.isatty():
        return print(plain(text))

    from rich.console import Console
    from rich.markdown import Markdown
    from rich.theme import Theme

    os.environ.setdefault("LESS", PAGER)
    console = Console(width=min(Console().width, WIDEST), theme=Theme({"markdown.code": "bold cyan"}))
    with console.pager(styles=console.color_system is not None):
        console.print(Markdown(printable_lines(spoken_links(text).splitlines()), code_theme="ansi_dark", hyperlinks=False))


def plain(text: str) -> str:
    """Markdown without its marks: titles are underlined, code is indented, links say what to type."""
    lines: list[str] = []
    fenced = False
    for line in spoken_links(text).splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced:
            lines.append(f"    {line}".rstrip())
        elif line.startswith("#"):
            title = unmarked(line.lstrip("# "))
            lines += [title, ("=" if line.startswith("# ") else "-") * len(title)]
        else:
            lines.append(unmarked(line))
    return re.sub(r"\n{3,}", "\n\n", printable_lines(lines)).strip("\n")


def unmarked(line: str) -> str:
    """Without the marks of bold, code and addresses."""
    return re.sub(r"\*\*(.+?)\*\*|<(https?:[^>]+)>", lambda found: found[1] or found[2], line).replace("`", "")


def spoken_links(text: str) -> str:
    """Links as words: to a page what to type, to a file of the repository its path; pictures, which no pager shows, go."""

    def spoken(found: re.Match[str]) -> str:
        title, target = found[1], found[2]
        if found[0].startswith("!"):
            return ""
        if "://" in target:
            return f"{title} ({target})" if title != target else target
        path, _, _ = target.partition("#")
        topic = path.removesuffix(".md")
        if path and "/" not in path and path.endswith(".md"):
            return f"`ldm help {topic}`" if title == topic else f"{title} (`ldm help {topic}`)"
        place = path.lstrip("./")
        return f"{title} ({place})" if place and place not in title else title

    return LINK.sub(spoken, text)


def printable_lines(lines: list[str]) -> str:
    """Each made safe; see console/text.py."""
    return "\n".join(map(printable, lines))
