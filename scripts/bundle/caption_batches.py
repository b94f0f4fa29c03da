"""Captions of the data set and words of the dictionary, drawn batch by batch, each with what a text state must tell of it."""

import functools
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
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

SINGLES_WEIGHT = 2
"""Of the list's pictures of a thing alone, beside 1 of its scenes, when the tower's are drawn: most that it must know is looks."""
BARE = 0.5
"""Of the dictionary's nouns, those that stand alone; the others stand for the thing's name in a caption of the data set."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Captions and what must be told of them.

    latents: of what the captions show in each style, (size, styles, C, h, w) float16, of a thing alone as it is drawn
    there, else in the style of the picture only; shown: (size, styles) bool, whether there is one; names: see
    CaptionBatches._names_in; name_looks: (len(names), LOOK_SIZE).
    """

    texts: list[str]
    facts: dict[str, Tensor]
    looks: Tensor
    latents: Tensor
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
    """Draws batches: pictures of the data set with one of their captions each, then such with words of the dictionary."""

    def __init__(self, data: Path, dictionary: Path, packages: Path, encode: Callable[[list[Path]], Tensor]) -> None:
        """encode: latents (N, C, h, w) of so many files."""
        notes = json.loads((data / "annotations/captions_train2017.json").read_text())
        self.images = notes["images"]
        self.said: dict[int, list[str]] = {image["id"]: [] for image in self.images}
        for row in notes["annotations"]:
            self.said[row["image_id"]].append(row["caption"])
        singles = [image for image in self.images if image["kind"] == "single"]
        self.codes = {code: number for number, code in enumerate(dict.fromkeys(image["emoji"] for image in singles))}
        facts = [facts_of(image, self.codes) for image in self.images]
        self.facts = {name: torch.tensor([row[name] for row in facts]) for name in facts[0]}
        names = [image["file_name"] for image in self.images]
        self.looks = looks_of(small_pictures(data / "train2017", names))
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        self.latents = encode([data / "train2017" / name for name in numbers])
        self.file_of = torch.tensor([numbers[name] for name in names])
        self.in_styles = in_styles(self.images)
        kept = list(kept_emoji(packages))
        phrases, everyday = nouns_and_phrases(packages), captions.everyday_words(kept)
        said = {e.code: [captions.without_article(phrase) for phrase in captions.phrases_of(e, everyday)] for e in kept}
        self.names = {code: sorted({*names, *map(plural, names)}, key=len, reverse=True) for code, names in said.items()}
        nouns = {code: names[0] for code, names in said.items()}
        self.rows_of: list[list[int]] = [[] for _ in self.codes]
        self.rows_alone: list[list[int]] = [[] for _ in self.codes]
        for row, thing in enumerate(self.facts["first"].tolist()):
            self.rows_of[thing].append(row)
            if self.images[row]["kind"] == "single":
                self.rows_alone[thing].append(row)
        self.alone = torch.tensor([rows[0] for rows in self.rows_alone])
        self.meant = by_noun(phrases, nouns, self.codes)
        words = json.loads(dictionary.read_text())
        by_thing: dict[str, list[str]] = {}
        for word, noun in words["nouns"].items():
            if noun in self.meant:
                by_thing.setdefault(noun, []).append(word)
        verbs = [(word, noun) for word, noun in words["verbs"].items() if noun in self.meant]
        self.dictionary = Dictionary(by_thing, verbs, words["use"])
        self._around_name = functools.cache(self._around_name)  # type: ignore[method-assign]  # the same captions are drawn again and again
        self.up_to = list(accumulate(SINGLES_WEIGHT if image["kind"] == "single" else 1 for image in self.images))
        self.rng = random.Random(0)

    def texts(self) -> list[str]:
        """For the vocabulary: every caption, and the dictionary's words four times."""
        words = [word for words in self.dictionary.nouns.values() for word in words] + [word for word, _ in self.dictionary.verbs]
        return [text for said in self.said.values() for text in said] + 4 * words

    def batch(self, size: int, words: int) -> "Batch":
        """Captions of the data set, then as many captions with a word of the dictionary for a thing that the picture shows."""
        rows = self.rng.choices(range(len(self.images)), cum_weights=self.up_to, k=size)
        texts = [self._in_a_mood(self.rng.choice(self.said[self.images[row]["id"]])) for row in rows]
        names = [named for row, text in enumerate(texts) for named in self._names_in(row, text, self.images[rows[row]])]
        for number in range(size, size + words):
            row, text, up_to_word, thing = self._called_otherwise()
            rows.append(row)
            texts.append(text)
            names.append((number, up_to_word, thing))
        facts = {name: values[rows] for name, values in self.facts.items()}
        shown, alone = self.in_styles[rows], self.alone[[thing for _, _, thing in names]]
        return Batch(texts, facts, self.looks[rows], self.latents[self.file_of[shown]], shown >= 0, names, self.looks[alone])

    def _called_otherwise(self) -> tuple[int, str, str, int]:
        """A picture, a caption of it with a word of the dictionary for the thing that it shows, that up to the word's end, the thing."""
        word = self.dictionary.word(self.rng)
        thing = self.rng.choice(self.meant[word.noun])
        row = self.rng.choice(self.rows_of[thing])
        caption = self.rng.choice(self.said[self.images[row]["id"]])
        before, after = self._around_name(caption, self.images[row].get("emoji") or self.images[row]["objects"][0]["emoji"])
        if word.is_verb or before == caption or self.rng.random() < BARE:
            said = word.alone(self.rng)
            return self.rng.choice(self.rows_alone[thing]), said, said, thing
        said = word.after(before)
        return row, said + after, said, thing

    def _names_in(self, row: int, text: str, image: dict) -> Iterator[tuple[int, str, int]]:
        """(row, text up to the end of a thing's name, its class) of every thing that the text names."""
        for code in {one["emoji"] for one in image.get("objects") or [image]}:
            before, after = self._around_name(text, code)
            if before != text:
                yield row, text.removesuffix(after), self.codes[code]

    def _around_name(self, text: str, code: str) -> tuple[str, str]:
        """What stands before the emoji's name and after it; where it is not in the text, all of that and ""."""
        found = (re.search(rf"\b{re.escape(name)}\b", text) for name in self.names[code])
        return next(((text[: one.start()], text[one.end() :]) for one in found if one), (text, ""))

    def _in_a_mood(self, text: str) -> str:
        """Now and then with an adjective that changes nothing, or without its article."""
        chance = self.rng.random()
        if chance < 0.08 and text.startswith(("a ", "an ")):
            return captions.with_article(f"{self.rng.choice(MOODS[:-3])} {captions.without_article(text)}")
        if chance < 0.11 and text.startswith(("a ", "an ")):
            return f"{self.rng.choice(MOODS[-3:])} {captions.without_article(text)}"
        return captions.without_article(text) if chance < 0.16 else text
