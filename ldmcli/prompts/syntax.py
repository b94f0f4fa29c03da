"""Prompt syntax of other tools, which is drawn as words here: what of it is found, what to use instead, and what it was meant to say."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice

from ldmcli.prompts.weighting import words

NUMBER = r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)"


@dataclass(frozen=True)
class Syntax:
    """pattern: how it looks; instead: what does the same here, or why nothing does; weighting: `--weighting a1111` understands it."""

    pattern: re.Pattern[str]
    instead: str
    weighting: bool = False
    shouted: bool = False
    """A word in capitals, which in a prompt all in capitals means nothing."""


MOST_COUNTED = 1000
"""Of different things in the syntax of other tools that call for the same."""

DEEPEST = 5
"""Levels of brackets inside one another that are looked into."""

TAGS = re.compile(r"<(?:lora|lyco|hypernet)\s*:[^<>]*>")
BREAK, AND = re.compile(r"(?<!\w)BREAK(?!\w)"), re.compile(rf"(?::\s*{NUMBER}\s*)?(?<!\w)AND(?!\w)")
EDITED = re.compile(rf"(?<!\\)\[(?P<words>[^\[\]]*):\s*{NUMBER}\s*\]")
ALTERNATED = re.compile(r"(?<!\\)\[(?P<words>[^\[\]|]*\|[^\[\]]*)\]")

SYNTAXES = (
    Syntax(TAGS, "--lora FILE:SCALE"),
    Syntax(BREAK, "--long-prompts, which cuts where a window is full", shouted=True),
    Syntax(AND, "one sentence that names both; prompts are not added up here", shouted=True),
    Syntax(EDITED, "one prompt from the first step to the last; it does not change on the way here"),
    Syntax(ALTERNATED, "one prompt from the first step to the last; it does not change on the way here"),
    Syntax(re.compile(r"\{[^{}]*\|[^{}]*\}|(?<!\w)__[\w*/-]+?__(?!\w)"), "a line for each in --prompts-file"),
    Syntax(re.compile(rf"(?<!\\)\([^()]*:\s*{NUMBER}\s*\)|(?<!\\)\(\([^()]+\)\)"), "--weighting a1111", weighting=True),
    Syntax(re.compile(r"\([^()]*\)(?:\++|--+|\d+\.\d+)(?!\w)"), "--weighting a1111 with (word:1.3)"),
    Syntax(
        re.compile(r"(?<!\S)--[a-z]{1,3} +(?:(?! --)[^\n])*"),
        'options of the command, or a line of --prompts-file such as {"prompt": "a cat", "steps": 20}',
    ),
)  # fmt: skip


def syntax_note(prompts: Iterable[tuple[str, str]], *, instead: bool = True) -> str | None:
    """A sentence about everything that is drawn as words and was hardly meant to be. prompts: (text, weighting).

    instead: with what `generate` has for it, which other commands may lack.
    """
    found: dict[str, dict[str, None]] = {}
    for text, weighting in prompts:
        for syntax in SYNTAXES:
            match = syntax.pattern.search(text)
            understood = syntax.weighting and weighting == "a1111"
            if match and not understood and not (syntax.shouted and text.upper() == text):
                seen = found.setdefault(syntax.instead, {})
                if len(seen) <= MOST_COUNTED:
                    seen[match[0].strip(": ")] = None
    if not found:
        return None
    listed = "; ".join(f"{_some(shown)} (instead: {other})" if instead else _some(shown) for other, shown in found.items())
    return f"syntax of other tools is drawn as words here: {listed}"


def without_syntax(prompt: str, *, weighting: str = "a1111") -> str:
    """What a prompt in the syntax of A1111 and its kin says: no tags, no weights, but all words of what alternates or changes."""
    text = TAGS.sub(" ", prompt)
    if text.upper() != text:
        text = AND.sub(", ", BREAK.sub(" ", text))
    for _ in range(DEEPEST):
        text = EDITED.sub(_listed, ALTERNATED.sub(_listed, text))
    text = words(text, weighting)
    if text == prompt:
        return text
    return re.sub(r"(?:\s*,)+", ",", re.sub(r"[^\S\n]+", " ", text)).strip(" ,\n")


def _listed(match: re.Match[str]) -> str:
    return " ".join(part.strip() for part in re.split(r"[:|]", match["words"]) if part.strip())


def _some(shown: Collection[str]) -> str:
    """The first two, and how many more."""
    over = "over " if len(shown) > MOST_COUNTED else ""
    more = f" and {over}{min(len(shown), MOST_COUNTED) - 2} more" if len(shown) > 2 else ""
    return ", ".join(f"`{text[:40]}`" for text in islice(shown, 2)) + more
