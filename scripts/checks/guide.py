"""Fails on a stale options.md, a dead link, a line of more than 120 characters, or a README that has grown beyond what one reads.

python scripts/checks/guide.py
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from ldmcli.commands.options_page import options_page

ROOT = Path(__file__).parents[2]
MOST_COLUMNS, MOST_LINES, MOST_WORDS = 120, 200, 1500

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def documents() -> list[Path]:
    """The README and the pages of the guide."""
    return [ROOT / "README.md", *sorted((ROOT / "ldmcli" / "guide").glob("*.md"))]


def problems() -> Iterator[str]:
    """A sentence each."""
    if (ROOT / "ldmcli/guide/options.md").read_text(encoding="utf-8").rstrip() != options_page().rstrip():
        yield "ldmcli/guide/options.md is stale: python scripts/options_page.py > ldmcli/guide/options.md"
    for document in documents():
        name, text = document.relative_to(ROOT).as_posix(), document.read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            if len(line) > MOST_COLUMNS:
                yield f"{name}:{number}: {len(line)} characters, more than {MOST_COLUMNS}"
        yield from (f"{name}: dead link {target}" for target in dead_links(document, text))
        if not re.match(r"# \S", text):
            yield f"{name}: the first line is not its title"
    yield from grown((ROOT / "README.md").read_text(encoding="utf-8"))


def dead_links(document: Path, text: str) -> Iterator[str]:
    """Targets inside the repository, files and headings, that are not there."""
    for target in LINK.findall(outside_code(text)):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not file.exists() or not file.is_relative_to(ROOT):
            yield target
        elif heading and heading not in anchors(file.read_text(encoding="utf-8")):
            yield target


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings."""
    titles = re.findall(r"^#+ +(.+)$", outside_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def outside_code(text: str) -> str:
    """Without fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def grown(readme: str) -> Iterator[str]:
    """Where the README is longer than may be."""
    for count, most, what in ((readme.count("\n"), MOST_LINES, "lines"), (len(readme.split()), MOST_WORDS, "words")):
        if count > most:
            yield f"README.md: {count} {what}, more than {most}; the rest belongs into ldmcli/guide/"


if __name__ == "__main__":
    said = list(problems())
    print("\n".join(said), file=sys.stderr, end="\n" * bool(said))
    sys.exit(bool(said))
