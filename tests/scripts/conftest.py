"""A made-up node_modules of a few emoji."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bundle"))

import sources  # noqa: E402

ROWS = [
    ("1F436", "DOG FACE", "Animals & Nature", "animal-mammal"),
    ("1F347", "GRAPES", "Food & Drink", "food-fruit"),
    ("2764-FE0F", "RED HEART", "Smileys & Emotion", "heart"),
    ("1F1EB-1F1F7", "FRANCE FLAG", "Flags", "country-flag"),
    ("1F44B-1F3FD", "WAVING HAND: MEDIUM SKIN TONE", "People & Body", "hand-fingers-open"),
    ("1F468-200D-1F373", "MAN COOK", "People & Body", "person-role"),
]
CLDR = {"🐶": ("dog face", ["animal", "dog", "pet", "puppy"]), "🍇": ("grapes", ["fruit", "grape"]), "❤": ("red heart", ["love"])}


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A disc of yellow in each file; fully transparent pixels are black underneath, as in the real packages."""
    root = tmp_path / "node_modules"
    table = [
        {
            "unified": code,
            "image": f"{code.lower()}.png",
            "name": name,
            "short_names": [],
            "category": category,
            "subcategory": sub,
            "sort_order": order,
        }
        for order, (code, name, category, sub) in enumerate(ROWS)
    ]
    write_json(root / "emoji-datasource-google/emoji.json", table)
    write_json(root / "emojilib/dist/emoji-en-US.json", {"🐶": ["dog_face", "animal", "puppy", "woof"]})
    rows = {key: {"default": words, "tts": [name]} for key, (name, words) in CLDR.items()}
    write_json(root / "cldr-annotations-full/annotations/en/annotations.json", {"annotations": {"annotations": rows}})
    for drawings in sources.SETS:
        folder = root / drawings.folder
        folder.mkdir(parents=True)
        side = 256 if drawings.suffix == ".webp" else 64
        picture = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        picture.paste((255, 220, 0, 255), (side // 4, side // 4, side * 3 // 4 + 1, side * 3 // 4 + 1))
        for row in table:
            picture.save(folder / row["image"].replace(".png", drawings.suffix), lossless=True, exact=True)
    return root
