"""`ldm help`: a page of the guide, a command, an option, or the section that answers a question."""

import difflib
from collections.abc import Sequence

from ldmcli.commands.app import SUMMARIES, load_command
from ldmcli.commands.builder import command
from ldmcli.commands.guide_pages import OPTIONS, Section, pages
from ldmcli.commands.guide_search import ranked
from ldmcli.commands.options_page import command_lines, names_of, options_named
from ldmcli.commands.settings import Invocation
from ldmcli.config.guide import HelpOptions
from ldmcli.config.shared import ReportOptions
from ldmcli.console.guide import show_guide
from ldmcli.errors import UsageError

ALSO = 4
"""Further places that are named at most."""

NEARLY, AS_GOOD = 0.6, 0.9
"""Of the best score, beside which a section of another page is shown too: one that speaks of an option, and of any question."""


@command(
    "help", HelpOptions, ReportOptions, takes_any_flag=True, examples=("ldm help resume", 'ldm help "which sampler for 10 steps"')
)  # fmt: skip
def guide(invocation: Invocation) -> None:
    """Show a page of the guide, an option, or the part that answers a question.

    `ldm help` alone lists the pages; `ldm help options COMMAND` shows every option of a command.
    """
    report, topic = invocation.options(ReportOptions), invocation.options(HelpOptions).topic
    show_guide(" ".join(topic), answer(topic) if topic else listing(), as_json=report.as_json)


def listing() -> str:
    """All pages with their first lines, and what else can be asked, as Markdown."""
    width = max(map(len, pages()))
    rows = [f"{page.topic:{width}}  {page.about}" for page in pages().values()]
    asked = [f"$ {line}" for line in ("ldm help schedulers", "ldm help --cfg-interval", 'ldm help "how do I resume"')]
    return "\n".join(["# The guide", "", "```", *rows, "```", "", "A page, an option, or a question:", "", "```", *asked, "```"])


def answer(topic: Sequence[str]) -> str:
    """What was asked for, as Markdown. Raises UsageError with names that come close."""
    first, rest = topic[0].lower().removesuffix(".md"), topic[1:]
    if first == OPTIONS and len(rest) == 1:
        return "\n".join(command_lines(command_named(rest[0])))
    if not rest and first in pages():
        return pages()[first].text
    if not rest and first.replace("_", "-") in SUMMARIES:
        return "\n".join(command_lines(command_named(first)))
    text = " ".join(topic)
    flag = next((word.rstrip("?.,").partition("=")[0] for word in text.split() if word.startswith("-") and len(word) > 1), "")
    known = options_named(flag or text)
    if known:
        return about_option(flag or f"--{text}", known, text)
    if flag and flag == text:
        raise unknown(flag)
    sections = [section for section in searched() if section.topic == first] if rest and first in pages() else []
    found = ranked(" ".join(rest), sections, page_titles()) or ranked(text, searched(), page_titles())
    if not found:
        raise unknown(text)
    return sections_shown(found, AS_GOOD, 3)


def about_option(flag: str, known: dict[str, list[str]], text: str) -> str:
    """Its help in every command that has it, and where the guide speaks of it."""
    items = [f"{', '.join(names)}:\n\n{item}" for item, names in known.items()]
    found = ranked(f"{text} {flag}", searched(), page_titles())
    said = [(score, section) for score, section in found if flag in section.text or score >= NEARLY * found[0][0]]
    return "\n\n".join([f"# {flag}", *items, sections_shown(said, NEARLY, 2)]).strip()


def sections_shown(found: Sequence[tuple[float, Section]], nearly: float, most: int) -> str:
    """The best section, those of other pages that are nearly as good, and where else to look."""
    best: list[Section] = []
    for score, section in found:
        if len(best) < most and score >= nearly * found[0][0] and section.topic not in [each.topic for each in best]:
            best.append(section)
    return "\n\n".join([*map(shown, best), *further([section for _, section in found if section not in best])])


def shown(section: Section) -> str:
    """Where it stands, and the section."""
    return f"{section.text}\n\nFrom `ldm help {section.topic}`."


def further(sections: Sequence[Section]) -> list[str]:
    """The other places, a line each."""
    lines = [f"- `ldm help {section.topic}`: {section.title}" for section in sections[:ALSO]]
    return ["See also:\n\n" + "\n".join(lines)] if lines else []


def searched() -> list[Section]:
    """Every section but those of the list of options, which is looked up by name."""
    return [section for page in pages().values() if page.topic != OPTIONS for section in page.sections()]


def page_titles() -> dict[str, str]:
    """Topic -> title."""
    return {page.topic: page.title for page in pages().values()}


def command_named(word: str) -> str:
    """Raises UsageError."""
    name = word.replace("_", "-")
    if name not in SUMMARIES:
        raise UsageError(f"no command is called {word!r}.", hint=f"Commands: {', '.join(SUMMARIES)}.")
    return name


def unknown(text: str) -> UsageError:
    """With topics, commands and options that come close."""
    flags = {flag for name in SUMMARIES for flag in names_of(load_command(name).options)}
    names = {name: name for name in (*pages(), *SUMMARIES)} | {flag.lstrip("-"): flag for flag in flags}
    close = difflib.get_close_matches(text.lstrip("-").lower(), names, n=4, cutoff=0.6)
    near = f"Did you mean {' or '.join(names[name] for name in close)}? " if close else ""
    return UsageError(f"the guide has nothing on {text!r}.", hint=f"{near}Try: ldm help")
