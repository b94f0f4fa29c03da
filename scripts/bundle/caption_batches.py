"""Captions of the data set and words of the dictionary, drawn batch by batch, each with what a text state must tell of it."""

import functools
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import captions
import torch
from composition import plural
from dictionary import kept_emoji, nouns_and_phrases
from sources import STYLES
from text_tasks import Dictionary, by_noun, facts_of, looks_of, small_pictures
from torch import Tensor

MOODS = "cute funny nice beautiful old new happy sad spooky scary pretty lovely shiny cool fluffy friendly silly my the some".split()

SINGLES_WEIGHT = 6
"""Of the list's pictures of a thing alone, beside 1 of its scenes, when the tower's are drawn: most that it must know is looks."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Captions and what must be told of them.

    small: what the data set's captions show in each style, (size, styles, LOOK_SIDE, LOOK_SIDE, 3) uint8, of a thing alone as it is
    drawn there, else in the style of the picture only; shown: (size, styles) bool, whether there is one; names: see
    CaptionBatches._names_in; name_looks: (len(names), LOOK_SIZE).
    """

    texts: list[str]
    facts: dict[str, Tensor]
    looks: Tensor
    small: Tensor
    shown: Tensor
    names: list[tuple[int, str, int]]
    name_looks: Tensor


def in_styles(images: Sequence[dict[str, Any]]) -> Tensor:
    """(N, styles) for every picture of the data set the number of the one that shows its caption in each style, -1 where there is none."""
    shown = torch.full((len(images), len(STYLES)), -1)
    as_drawn: dict[tuple[str, str], int] = {}
    for row, image in enumerate(images):
        shown[row, STYLES.index(image["style"])] = row
        if image["kind"] == "single":
            as_drawn.setdefault((image["emoji"], image["style"]), row)  # the first is not varied
    for row, image in enumerate(images):
        if image["kind"] == "single":
            shown[row] = torch.tensor([as_drawn.get((image["emoji"], style), -1) for style in STYLES])
    return shown


class CaptionBatches:
    """Draws batches: pictures of the data set with one of their captions each, then pairs from the dictionary."""

    def __init__(self, data: Path, dictionary: Path, packages: Path) -> None:
        notes = json.loads((data / "annotations/captions_train2017.json").read_text())
        self.images = notes["images"]
        self.said: dict[int, list[str]] = {image["id"]: [] for image in self.images}
        for row in notes["annotations"]:
            self.said[row["image_id"]].append(row["caption"])
        singles = [image for image in self.images if image["kind"] == "single"]
        self.codes = {code: number for number, code in enumerate(dict.fromkeys(image["emoji"] for image in singles))}
        facts = [facts_of(image, self.codes) for image in self.images]
        self.facts = {name: torch.tensor([row[name] for row in facts]) for name in facts[0]}
        self.small = small_pictures(data / "train2017", [image["file_name"] for image in self.images])
        self.looks = looks_of(self.small)
        self.in_styles = in_styles(self.images)
        kept = list(kept_emoji(packages))
        phrases, everyday = nouns_and_phrases(packages), captions.everyday_words(kept)
        said = {e.code: [captions.without_article(phrase) for phrase in captions.phrases_of(e, everyday)] for e in kept}
        self.names = {code: sorted({*names, *map(plural, names)}, key=len, reverse=True) for code, names in said.items()}
        nouns = {code: names[0] for code, names in said.items()}
        first_rows = {image["emoji"]: row for row, image in reversed(list(enumerate(self.images))) if image["kind"] == "single"}
        self.alone = torch.tensor([first_rows[code] for code in self.codes])
        self.meant = by_noun(phrases, nouns, self.codes)
        words = json.loads(dictionary.read_text())
        by_thing: dict[str, list[str]] = {}
        for word, noun in words["nouns"].items():
            if noun in self.meant:
                by_thing.setdefault(noun, []).append(word)
        verbs = [(word, noun) for word, noun in words["verbs"].items() if noun in self.meant]
        self.dictionary = Dictionary(by_thing, verbs, phrases, words["use"])
        self._up_to_name = functools.cache(self._up_to_name)  # type: ignore[method-assign]  # the same captions are drawn again and again
        self.up_to = list(accumulate(SINGLES_WEIGHT if image["kind"] == "single" else 1 for image in self.images))
        self.rng = random.Random(0)

    def texts(self) -> list[str]:
        """For the vocabulary: every caption, and the dictionary's words once."""
        words = [word for words in self.dictionary.nouns.values() for word in words] + [word for word, _ in self.dictionary.verbs]
        return [text for said in self.said.values() for text in said] + words

    def some(self, size: int) -> list[str]:
        """Of the data set, each picture equally often."""
        return [self._in_a_mood(self.rng.choice(self.said[image["id"]])) for image in self.rng.choices(self.images, k=size)]

    def batch(self, size: int, pairs: int) -> "Batch":
        """size + 2 pairs captions: the data set's, then words, then the known phrases. Facts of words ask only for the thing."""
        rows = self.rng.choices(range(len(self.images)), cum_weights=self.up_to, k=size)
        texts = [self._in_a_mood(self.rng.choice(self.said[self.images[row]["id"]])) for row in rows]
        drawn = [self.dictionary.pair(self.rng) for _ in range(pairs)]
        meant = torch.tensor([self.rng.choice(self.meant[noun]) for _, _, noun in drawn])
        facts = {name: torch.cat([values[rows], torch.full((2 * pairs,), -1)]) for name, values in self.facts.items()}
        facts["first"][size:] = meant.repeat(2)
        looks = torch.cat([self.looks[rows], self.looks.new_zeros(2 * pairs, self.looks.shape[1])])
        names = [named for row, text in enumerate(texts) for named in self._names_in(row, text, self.images[rows[row]])]
        texts += [word for word, _, _ in drawn] + [known for _, known, _ in drawn]
        shown = self.in_styles[rows]
        return Batch(texts, facts, looks, self.small[shown], shown >= 0, names, self.looks[self.alone[[thing for _, _, thing in names]]])

    def _names_in(self, row: int, text: str, image: dict) -> Iterator[tuple[int, str, int]]:
        """(row, text up to the end of a thing's name, its class) of every thing that the text names."""
        for code in {one["emoji"] for one in image.get("objects") or [image]}:
            if begun := self._up_to_name(text, code):
                yield row, begun, self.codes[code]

    def _up_to_name(self, text: str, code: str) -> str:
        """The text up to the end of the emoji's name, "" where it is not in it."""
        found = (re.search(rf"\b{re.escape(name)}\b", text) for name in self.names[code])
        return next((text[: one.end()] for one in found if one), "")

    def _in_a_mood(self, text: str) -> str:
        """Now and then with an adjective that changes nothing, or without its article."""
        chance = self.rng.random()
        if chance < 0.08 and text.startswith(("a ", "an ")):
            return captions.with_article(f"{self.rng.choice(MOODS[:-3])} {captions.without_article(text)}")
        if chance < 0.11 and text.startswith(("a ", "an ")):
            return f"{self.rng.choice(MOODS[-3:])} {captions.without_article(text)}"
        return captions.without_article(text) if chance < 0.16 else text
