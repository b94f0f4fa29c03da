"""The guide: the Markdown files of ldmcli/guide, a topic each. A new file is a new topic."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "guide"

OPTIONS = "options"
"""The topic that is written by scripts/options_page.py; read from the declarations instead where one command is asked for."""

HEADING = re.compile(r"(#{1,4}) +(.+)")


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, up to the next heading."""

    topic: str
    title: str
    text: str
    """Markdown, with the heading."""


@dataclass(frozen=True)
class Page:
    """One topic. title: its first line, which says what it is about."""

    topic: str
    title: str
    text: str

    @property
    def about(self) -> str:
        """The title without the topic, where it begins with that: `Batches: many prompts` is about many prompts."""
        name, _, rest = self.title.partition(": ")
        return rest if rest and name.lower().replace(" ", "-") == self.topic else self.title

    def sections(self) -> Iterator[Section]:
        """In order; the first one begins with the title of the page. A heading with nothing under it is none."""
        title, lines = self.title, list[str]()
        for heading, line in [*marked_headings(self.text), (self.title, "")]:
            if heading and any(lines[1:]):
                yield Section(self.topic, title, "\n".join(lines).strip())
            if heading:
                title, lines = heading, []
            lines.append(line)


def marked_headings(text: str) -> Iterator[tuple[str, str]]:
    """(title where the line is a heading, the line). A # inside a code block is none."""
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        found = None if fenced else HEADING.fullmatch(line)
        yield (found[2] if found else ""), line


@cache
def pages() -> dict[str, Page]:
    """Topic -> page, by name."""
    found = {}
    for path in sorted(FOLDER.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        found[path.stem] = Page(path.stem, text.partition("\n")[0].lstrip("# "), text)
    return found
