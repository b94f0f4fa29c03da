"""The two lists that the bundled model is judged on, and what must hold of them: python scripts/bundle/lists.py --data DIR

concepts.json: prompts that everybody would type, and every emoji that truly shows each. synonyms.json: words that no caption holds, the
prompt that they make, and every emoji that shows what is meant. Both were written before the model that they judge was trained.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


def read_concepts() -> list[dict]:
    """Rows of prompt, group and emoji (a list of codes)."""
    return json.loads((HERE / "concepts.json").read_text(encoding="utf-8"))


def read_synonyms() -> list[dict]:
    """Rows of word, prompt (the word with its article) and emoji."""
    return json.loads((HERE / "synonyms.json").read_text(encoding="utf-8"))


@cache
def synonym_pattern() -> re.Pattern[str]:
    """Any of the synonyms as a whole word, in the singular or the plural."""
    words = (re.escape(row["word"]) for row in read_synonyms())
    return re.compile(rf"\b(?:{'|'.join(words)})(?:s|es)?\b")


def is_free_of_synonyms(text: str) -> bool:
    """Whether a caption (or a keyword) may be in the data set: the words of synonyms.json must stay unseen."""
    return synonym_pattern().search(text.lower()) is None


def unknown_codes(rows: Iterable[dict], known: set[str]) -> list[str]:
    """Codes of a list that no picture of the data set shows, each with its prompt."""
    return [f"{row['prompt']}: {code}" for row in rows for code in row["emoji"] if code not in known]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the data set of build_dataset.py")
    notes = json.loads((parser.parse_args().data / "annotations/captions_train2017.json").read_text(encoding="utf-8"))
    concepts, synonyms = read_concepts(), read_synonyms()
    faults = unknown_codes(concepts + synonyms, {image.get("emoji") for image in notes["images"]})
    faults += [row["caption"] for row in notes["annotations"] if not is_free_of_synonyms(row["caption"])]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(concepts)} concepts, {len(synonyms)} synonyms, {len(faults)} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
