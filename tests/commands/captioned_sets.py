"""Sets of pictures whose captions were once paired or read wrongly: what is typed, the pictures, what is meant, what is said."""

import json

from PIL import Image
from tiny_clip import draw_pictures

from ldmcli.outputs.picture_files import png_chunks, sheet_texts

WORDS = ["a dog", "cat and dog", "red circle", "and and", "zebra", "cat", "dog and", "blue", "a tree", "and cat", "sea", "hill"]
LAST = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x512"


def save(folder, name, picture, **texts):
    folder.mkdir(parents=True, exist_ok=True)
    picture.save(folder / name, pnginfo=png_chunks(texts))
    return folder / name


def numbered(folder, count=12, first=0):
    """0.png to 11.png."""
    pictures = draw_pictures(first + count)[first:]
    for number, picture in enumerate(pictures):
        save(folder, f"{number}.png", picture)
    return folder, pictures


def lines(folder, words=WORDS):
    (folder / "lines.txt").write_text("\n".join(words))
    return folder / "lines.txt"


def in_order(root):
    folder, pictures = numbered(root / "n")
    return (folder, "--captions", lines(root)), pictures, WORDS, "12 by order, 0.png first and 11.png last"


def of_the_first(root):
    folder, pictures = numbered(root / "n")
    return (folder, "--captions", lines(root), "--limit", 11), pictures[:11], WORDS[:11], "12 by order"


def of_two_folders(root):
    pictures, rows = [], []
    for place, name in enumerate("ab"):
        pictures += numbered(root / name, 6, 6 * place)[1]
        rows += [{"image": f"{name}/{n}.png", "caption": WORDS[6 * place + n]} for n in range(6)]
    (root / "rows.json").write_text(json.dumps(rows))
    return (root / "a", root / "b", "--captions", root / "rows.json"), pictures, WORDS, "12 by folder and name"


def of_two_folders_of_texts(root):
    arguments, pictures, words, _ = of_two_folders(root)
    for place, name in enumerate("ab"):
        (root / "texts" / name).mkdir(parents=True)
        for n in range(6):
            (root / "texts" / name / f"{n}.txt").write_text(WORDS[6 * place + n])
    return (*arguments[:2], "--captions", root / "texts"), pictures, words, "12 by folder and name"


def in_utf_16(root):
    pictures = draw_pictures(4)
    for number, (order, mark) in enumerate([("be", ""), ("le", ""), ("be", "\ufeff"), ("le", "\ufeff")]):
        exif = Image.Exif()
        text = f"{mark}{WORDS[number]}\nNegative prompt: ugly\n{LAST}"
        exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode(f"utf-16-{order}")
        (root / "u").mkdir(exist_ok=True)
        pictures[number].save(root / "u" / f"{number}.webp", exif=exif, lossless=True)
    return (root / "u",), pictures, WORDS[:4], "4 by metadata"


def without_a_prompt(root):
    pictures = draw_pictures(3)
    for number, start in enumerate((f"{WORDS[0]}\n", "Negative prompt: ugly\n", "")):
        save(root / "p", f"{number}.png", pictures[number], parameters=start + LAST)
    return (root / "p",), pictures[:1], WORDS[:1], "2 pictures without a caption left out, 1.png for one."


def begins_as_settings(root):
    (picture,) = draw_pictures(1)
    save(root / "p", "0.png", picture, parameters=f"a dog\nSteps: cat and dog\n{LAST}")
    return (root / "p",), [picture], ["a dog\nSteps: cat and dog"], "1 by metadata"


def weighed(root):
    pictures = draw_pictures(2)
    save(root / "w", "0.png", pictures[0], ldm=json.dumps({"prompt": "((a dog:1.3)), [zebra]", "weighting": "a1111", "model": "m"}))
    save(root / "w", "1.png", pictures[1], ldm=json.dumps({"prompt": "a (cat)", "weighting": "none", "model": "m"}))
    return (root / "w",), pictures, ["a dog, zebra", "a (cat)"], "2 by metadata"


def weighed_in_a_manifest(root):
    (picture,) = draw_pictures(1)
    save(root / "w", "0.png", picture)
    (root / "w" / "manifest.jsonl").write_text(json.dumps({"path": "0.png", "prompt": "a (dog:1.3)", "weighting": "a1111"}))
    return (root / "w",), [picture], ["a dog"], "1 by manifest"


def among_sheets(root):
    folder, pictures = numbered(root / "n")
    for name, kind in (("00000-00011.grid.png", "grid"), ("3.progress.png", "strip")):
        save(folder, name, pictures[0], **sheet_texts(kind))
    return (
        (folder, "--captions", lines(root)),
        pictures,
        WORDS,
        "2 sheets of several pictures left out: 00000-00011.grid.png, 3.progress.png",
    )


def prefixed(root):
    folder, pictures = numbered(root / "n", 2)
    words = lines(root, WORDS[:2])
    meant = [f"A photo depicts {text}" for text in WORDS[:2]]
    return (folder, "--captions", words, "--prefix", "A photo depicts"), pictures, meant, "2 by order"


RIGHT = {
    "13, lines for numbered pictures": in_order,
    "13, lines and --limit": of_the_first,
    "13, equal names in two folders": of_two_folders,
    "13, equal names in two folders of texts": of_two_folders_of_texts,
    "14, UTF-16 of every kind": in_utf_16,
    "14, no prompt is no caption": without_a_prompt,
    "14, a prompt that looks like settings": begins_as_settings,
    "15, weights are not words": weighed,
    "15, nor those of a manifest": weighed_in_a_manifest,
    "18, sheets are no pictures": among_sheets,
    "18, the prefix ends in a blank": prefixed,
}
