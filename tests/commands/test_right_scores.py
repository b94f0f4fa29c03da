"""Captions and scores that were silently wrong, a row each: what is scored is what was meant, by transformers' own CLIPModel."""

import json
import shutil

import pytest
import torch
from PIL import Image
from tiny_clip import draw_pictures
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from ldmcli.outputs.picture_files import png_chunks, sheet_texts

WORDS = ["a dog", "cat and dog", "red circle", "and and", "zebra", "cat", "dog and", "blue", "a tree", "and cat", "sea", "hill"]
LAST = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x512"


@pytest.fixture(scope="module")
def cosines(clip):
    """(picture, caption) -> cosine, by transformers alone."""
    model, tokenizer = CLIPModel.from_pretrained(clip).eval(), CLIPTokenizer.from_pretrained(clip)
    processor = CLIPImageProcessorPil.from_pretrained(clip)

    @torch.inference_mode()
    def run(pictures, captions):
        tokens = tokenizer(captions, return_tensors="pt", padding=True)
        pixels = processor([picture.convert("RGB") for picture in pictures], return_tensors="pt")["pixel_values"]
        answer = model(**tokens, pixel_values=pixels)
        return (answer.image_embeds * answer.text_embeds).sum(dim=1).tolist()

    return run


@pytest.fixture
def score(ldm, clip):
    """(exit code, the document of --json, what was said) of `ldm clipscore`."""

    def run(*argv):
        code, out, err = ldm("clipscore", *map(str, argv), "--clip-model", str(clip), "--device", "cpu", "--json")
        return code, json.loads(out) if out else None, err

    return run


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


@pytest.mark.parametrize("case", RIGHT)
def test_what_was_meant_is_scored(case, score, cosines, tmp_path):
    arguments, pictures, captions, said = RIGHT[case](tmp_path)
    code, report, err = score(*arguments)
    assert code == 0 and said in " ".join(err.split()), err
    assert [item["cosine"] for item in report["items"]] == pytest.approx(cosines(pictures, captions), abs=1e-5)
    assert report["clip_score"] == pytest.approx(100 * sum(cosines(pictures, captions)) / len(captions), abs=1e-3)


def test_13_references_in_lines_follow_the_same_order(score, tmp_path):
    """References that are the captions: RefCLIPScore is the harmonic mean with a cosine of 1."""
    (folder, *captions), _, _, _ = in_order(tmp_path)
    code, report, err = score(folder, *captions, "--references", captions[1])
    assert code == 0 and err.count("12 by order") == 2, err
    for item in report["items"]:
        a = 2.5 * max(item["cosine"], 0)
        assert item["ref_clip_score"] == pytest.approx(2 * a / (a + 1), abs=1e-5)


def test_13_the_other_set_of_compare_follows_the_same_order(score, cosines, tmp_path):
    arguments, ours, words, _ = in_order(tmp_path)
    other, theirs = numbered(tmp_path / "other", 12, 5)
    code, report, err = score(*arguments, "--compare", other)
    apart = [100 * (a - b) for a, b in zip(cosines(ours, words), cosines(theirs, words), strict=True)]
    assert code == 0 and report["compare"]["difference"] == pytest.approx(sum(apart) / 12, abs=1e-3), err


def test_13_what_stays_ambiguous_is_refused(score, tmp_path):
    (first, second, *captions), *_ = of_two_folders(tmp_path)
    shutil.move(first, tmp_path / "c")
    code, report, err = score(tmp_path / "c", *captions)
    assert code == 2 and report is None and "a/0.png and b/0.png could both be" in err and "folders" in err


def test_13_the_wrong_number_of_lines_is_refused(score, tmp_path):
    (folder, *captions), *_ = in_order(tmp_path)
    (folder / "11.png").unlink()
    code, _, err = score(folder, *captions)
    assert code == 1 and "12 lines without names for 11 pictures" in err


def test_18_nothing_but_sheets_is_told(score, tmp_path):
    save(tmp_path / "s", "a.png", draw_pictures(1)[0], **sheet_texts("grid"))
    code, _, err = score(tmp_path / "s")
    assert code == 6 and "nothing but sheets" in err
    code, _, err = score(tmp_path / "s" / "a.png")
    assert code == 2 and "a.png is a sheet of several pictures and has no caption" in err


def test_18_the_scorer_is_chosen_by_the_pictures_that_are_scored(ldm, tmp_path):
    """All that `generate` writes beside pictures says that it is none; a stranger without a caption is left out and does not vote."""
    drawn = ("generate", "a red apple", "a dog", "--steps", "2", "-s", "1", "--grid", "--progressive", "strip")
    assert ldm(*drawn, "-o", f"{tmp_path}/out/", "-q")[0] == 0
    save(tmp_path / "out", "stranger.png", draw_pictures(1)[0])
    code, out, err = ldm("clipscore", f"{tmp_path}/out", "--json", "--offline")
    assert code == 0 and json.loads(out)["clip_model"] == "bundled" and json.loads(out)["n"] == 2
    assert "3 sheets of several pictures left out" in err and "1 picture without a caption left out, stranger.png" in err
    code, _, err = ldm("generate", "--from-image", f"{tmp_path}/out/00000-00001.grid.png")
    assert code == 1 and "a sheet that shows several pictures" in err


def test_15_pictures_that_generate_weighed_are_scored_by_their_words(ldm, tmp_path):
    weighted = ("generate", "a ((dog:1.3)), [blurry]", "--weighting", "a1111", "--steps", "1", "-s", "1", "-q")
    assert ldm(*weighted, "-o", f"{tmp_path}/out/")[0] == 0 and ldm(*weighted, "--no-metadata", "-o", f"{tmp_path}/bare/")[0] == 0
    for folder in ("out", "bare"):
        code, out, err = ldm("clipscore", f"{tmp_path}/{folder}", "--json", "--clip-model", "bundled")
        assert code == 0 and json.loads(out)["items"][0]["caption"] == "a dog, blurry", err


def test_12_syntax_of_other_tools_is_named_once_in_a_run(ldm, tmp_path):
    prompts = ("a dog <lora:x:1>", "a dog BREAK (cat:1.4)", "a {red|green} dog")
    code, _, err = ldm("generate", *prompts, "--negative", "ugly --s 3", "--steps", "1", "-s", "1", "-o", f"{tmp_path}/out/")
    assert code == 0 and " ".join(err.split()).count("syntax of other tools is drawn as words here") == 1
    for text in ("<lora:x:1>", "--lora FILE:SCALE", "BREAK", "(cat:1.4)", "--weighting a1111", "{red|green}", "--prompts-file", "--s 3"):
        assert text in " ".join(err.split()), text
    code, _, err = ldm("generate", "a (cat:1.4)", "--weighting", "a1111", "--steps", "1", "-s", "1", "-o", f"{tmp_path}/out/")
    assert code == 0 and "syntax of other tools" not in err
