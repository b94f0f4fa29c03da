"""Captions and scores that were silently wrong, a row each: what is scored is what was meant, by transformers' own CLIPModel."""

import json
import shutil

import pytest
import torch
from captioned_sets import RIGHT, in_order, numbered, of_two_folders, save
from tiny_clip import draw_pictures
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

from ldmcli.outputs.picture_files import sheet_texts


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
