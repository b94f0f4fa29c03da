"""Find the section of the guide that answers a question: the words of the question, the rarer the weightier, headings before text."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from ldmcli.commands.guide_pages import Section

FILLERS = frozenset(
    "a about all an and any are at be by can could do does for from get give have how i if in is it make me much my of on one or "
    "should take takes that the there this to use want what when where which why will with without you your".split()
)
SAME = {
    "sampler": "scheduler", "image": "picture", "photo": "picture", "continue": "resume", "guidance": "cfg", "vram": "memory",
    "ram": "memory", "license": "licence", "duration": "time", "inpaint": "mask",
}  # fmt: skip
"""Words that mean the same here."""

PHRASES = {"how long": "duration", "how fast": "speed", "img2img": "start from a picture, strength"}
"""Of questions, whose words alone would be found elsewhere."""

IN_TITLE, IN_PAGE_TITLE, AS_FLAG = 5.0, 1.5, 3.0
"""How much more a word counts in the heading, in the page's name and, where it is an option, as the option itself."""


def words(text: str) -> list[str]:
    """Normalised; an option is itself and its parts: --cfg-interval, cfg, interval."""
    found = []
    for word in re.findall(r"--[a-z][a-z0-9-]*|[a-z0-9][a-z0-9+.]*", text.lower()):
        found += [word, *map(_stem, word[2:].split("-"))] if word.startswith("--") else [_stem(word.rstrip("."))]
    return found


def _stem(word: str) -> str:
    """schedulers -> scheduler, resuming -> resume and resumed -> resume, roughly: both sides of a comparison go through this."""
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            word = word.removesuffix(ending)
            break
    return _STEMMED.get(word, word)


_STEMMED: dict[str, str] = {}
_STEMMED.update({_stem(word): _stem(meant) for word, meant in SAME.items()})


def ranked(question: str, sections: Sequence[Section], titles: dict[str, str]) -> list[tuple[float, Section]]:
    """(score, section), best first; those without any of the words are left out. titles: of the pages."""
    for phrase, meant in PHRASES.items():
        question = question.lower().replace(phrase, meant)
    asked = list(dict.fromkeys(word for word in words(question) if word not in _FILLERS))
    texts = [Counter(words(section.text)) for section in sections]
    rarity = {word: math.log(1 + len(texts) / (1 + sum(word in text for text in texts))) for word in asked}
    scored = []
    for section, text in zip(sections, texts, strict=True):
        title, page = words(section.title), words(f"{section.topic} {titles[section.topic]}")
        in_title = IN_TITLE * (0.5 + 0.5 * sum(word in asked for word in title) / max(len(title), 1))
        score = sum(
            rarity[word] * (_often(text[word], sum(text.values())) + in_title * (word in title) + IN_PAGE_TITLE * (word in page))
            * (AS_FLAG if word.startswith("--") else 1)
            for word in asked
        )  # fmt: skip
        if score:
            scored.append((score * (0.5 + sum(word in text for word in asked) / len(asked)), section))
    return sorted(scored, key=lambda pair: -pair[0])


def _often(times: int, length: int) -> float:
    """How much a word in a text of this many words says: more of them say more, less and less so; long texts hold everything."""
    return 2.2 * times / (times + 1.2 * (0.25 + 0.75 * length / 150))


def _stemmed(fillers: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_stem, fillers)) | frozenset(fillers)


_FILLERS = _stemmed(FILLERS)
