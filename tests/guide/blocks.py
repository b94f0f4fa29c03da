"""What README and guide tell their reader to type, and what they show that it prints."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "ldmcli" / "guide").glob("*.md"))]


@dataclass(frozen=True)
class Block:
    """A fenced block. line: of its first line of text."""

    language: str
    line: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Typed:
    """A line after `$ `, with what stands below it up to the next one. piped: what it gets on standard input."""

    where: str
    command: str
    shown: tuple[str, ...]

    @property
    def piped(self) -> str:
        """The text of `echo TEXT | ldm ...`."""
        first, bar, _ = self.command.partition(" | ")
        return shlex.split(first, comments=True)[1] if bar and first.startswith("echo ") else ""

    @property
    def words(self) -> list[str]:
        """The command itself: without what is piped in or out of it, and with its quotes read."""
        parts = self.command.split(" | ")
        return shlex.split(parts[bool(self.piped)].partition(" > ")[0], comments=True)

    @property
    def lines_shown(self) -> int | None:
        """The number of `| head -N`."""
        _, bar, number = self.command.partition(" | head -")
        return int(number) if bar else None


def blocks(page: Path) -> Iterator[Block]:
    """All fenced blocks, in order."""
    language: str | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("```"):
            lines.append(line)
        elif language is None:
            language, lines = line[3:], []
        else:
            yield Block(language, number - len(lines), tuple(lines))
            language = None


def typed(page: Path) -> Iterator[Typed]:
    """All commands of its console blocks; a backslash at the end of a line joins the next."""
    for block in blocks(page):
        if block.language != "console":
            continue
        joined = "\n".join(block.lines).replace("\\\n", " ").split("\n")
        starts = [number for number, line in enumerate(joined) if line.startswith("$ ")]
        for start, end in zip(starts, [*starts[1:], len(joined)], strict=True):
            shown = tuple(line for line in joined[start + 1 : end] if line)
            yield Typed(f"{page.name}:{block.line + start}", " ".join(joined[start][2:].split()), shown)
