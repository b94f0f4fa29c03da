"""The scripts that train the bundled model: the tower's questions, the dictionary's grammar, stages that go on where they were stopped."""

import random
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

SCRIPTS = Path(__file__).parents[2] / "scripts" / "bundle"
sys.path.insert(0, str(SCRIPTS))

import composition  # noqa: E402
import dictionary  # noqa: E402
import text_tasks  # noqa: E402
import train_scorer  # noqa: E402
import vocabulary  # noqa: E402
import wordnet as wordnets  # noqa: E402

from ldmcli.models.tokenizer import load_tokenizer  # noqa: E402


def picture(kind: str, *objects: tuple[str, float, float, str | None], **more: object) -> dict:
    listed = [{"emoji": code, "x": x, "y": y, "side": 32, "colour": colour} for code, x, y, colour in objects]
    plain = {"style": "flat style", "background": ["white"], "stacked": False, "width": 64, "height": 64}
    return {**plain, "kind": kind, "objects": listed, **more}


def test_facts_of_a_scene():
    codes = {"1F436": 0, "1F697": 1}
    scene = picture("pair", ("1F697", 16, 32, "blue"), ("1F436", 48, 30, None), background=["red"])
    facts = text_tasks.facts_of(scene, codes)
    counts = text_tasks.class_counts(codes)
    assert facts["first"] == 1 and facts["second"] == 1 + 0 and facts["style"] == 1
    assert list(composition.BACKGROUNDS)[facts["background"]] == "red" and list(composition.HUES)[facts["colour"] - 1] == "blue"
    assert facts["colour too"] == 0 and text_tasks.LAYOUTS[facts["layout"]] == "beside"
    assert all(0 <= facts[name] < counts[name] for name in counts)
    corner = picture("placed", ("1F436", 17, 47, None))
    assert text_tasks.LAYOUTS[text_tasks.facts_of(corner, codes)["layout"]] == "bottom left"
    boxed = picture("relation", ("1F436", 32, 32, None), relation="in a box", furniture_colour="pink")
    facts = text_tasks.facts_of(boxed, codes)
    assert text_tasks.LAYOUTS[facts["layout"]] == "in a box" and list(composition.HUES)[facts["colour too"] - 1] == "pink"
    assert text_tasks.layout_of(picture("sized", ("1F436", 32, 32, None))) == "middle"
    split = picture("split", ("1F436", 32, 32, None), background=["pink", "pink"], stacked=True)
    assert text_tasks.facts_of(split, codes)["background too"] == counts["background too"] - 1


def test_words_are_drawn_by_their_use():
    use = {"hound": 4.0, "cur": 2.0, "raining": 4.0}
    words = text_tasks.Dictionary({"dog": ["hound", "cur"]}, [("raining", "rain")], use)
    drawn = [words.word(random.Random(seed)) for seed in range(400)]
    found = Counter(one.word for one in drawn)
    assert 2.5 < found["hound"] / found["cur"] < 6.5  # a hundred times the use: four times
    assert {(one.word, one.noun, one.is_verb) for one in drawn} == {
        ("hound", "dog", False), ("cur", "dog", False), ("raining", "rain", True),
    }  # fmt: skip


def test_a_word_stands_alone_or_behind_the_beginning_of_a_caption():
    hound, raining = text_tasks.Word("hound", "dog"), text_tasks.Word("raining", "rain", is_verb=True)
    assert {hound.alone(random.Random(seed)) for seed in range(40)} == {"a hound", "hound", "hounds"}
    assert {raining.alone(random.Random(seed)) for seed in range(40)} == {
        "raining", "it is raining", "someone is raining", "something raining",
    }  # fmt: skip
    ibex = text_tasks.Word("ibex", "goat")
    said = {
        "a ": "an ibex",
        "": "ibex",
        "a flat style ": "a flat style ibex",
        "more than ": "more than ibex",
        "a cat and a ": "a cat and an ibex",
    }
    assert {before: ibex.after(before) for before in said} == said


def test_wordnet_explains_the_senses_of_a_word_in_their_order(tmp_path):
    """Lines as wndb(5WN) has them."""
    (tmp_path / "data.noun").write_text(
        "  1 licence\n"
        '100 05 n 02 beagle 0 Beagle_hound 0 001 @ 200 n 0000 | a small hound; "the beagle barked"  \n'
        "200 05 n 01 hound 0 000 | a dog  \n"
    )
    (tmp_path / "index.noun").write_text("  1 licence\nbeagle n 2 1 @ 2 0 200 100\nhound n 1 0 1 0 200\n")
    (tmp_path / "index.verb").write_text("bark v 1 0 1 0 300\n")
    wordnet = wordnets.WordNet(tmp_path)
    assert wordnet.explained("beagle") == ["beagle: a dog", "beagle: a small hound"]
    assert wordnet.explained("beagle", senses=1) == ["beagle: a dog"] and wordnet.explained("cat") == []
    assert wordnet.verbs == ["bark"]
    assert wordnet.above("100", 4) == {"100": 0, "200": 1} and wordnet.above("100", 0) == {"100": 0}


def test_a_name_is_no_sense_and_no_people_a_thing(tmp_path):
    """Lines as wndb(5WN) has them: a turkey is no country, Merlot is a wine, an Arab and a settler are no drawing."""
    (tmp_path / "data.noun").write_text(
        "100 15 n 01 Turkey 0 001 @i 900 n 0000 | a republic  \n"
        "200 05 n 01 turkey 0 001 @ 910 n 0000 | a bird  \n"
        "300 13 n 01 Merlot 0 001 @ 920 n 0000 | a wine  \n"
        "400 18 n 01 Arab 0 001 @ 930 n 0000 | one of a people  \n"
        "410 05 n 01 Arab 0 001 @ 910 n 0000 | a horse  \n"
        "500 18 n 01 settler 0 001 @ 510 n 0000 | who settles  \n"
        "510 18 n 01 migrant 0 001 @ 930 n 0000 | who moves  \n"
        "600 18 n 01 Villa 0 001 @i 930 n 0000 | a leader  \n"
        "610 06 n 01 villa 0 001 @ 940 n 0000 | a house  \n"
    )
    rows = ("turkey n 2 1 @ 2 0 100 200", "merlot n 1 1 @ 1 0 300", "arab n 2 1 @ 2 0 400 410", "settler n 1 1 @ 1 0 500")
    rows += ("migrant n 1 1 @ 1 0 510", "villa n 2 1 @ 2 0 600 610")
    (tmp_path / "index.noun").write_text("\n".join(rows) + "\n")
    (tmp_path / "index.verb").write_text("")
    wordnet = wordnets.WordNet(tmp_path)
    assert [wordnet.synsets(word) for word in ("turkey", "merlot", "villa")] == [["200"], ["300"], ["610"]]
    peoples = {word for word in wordnet.senses if wordnet.is_of_a_people(word)}
    assert peoples == {"arab", "settler", "migrant"}


@pytest.mark.parametrize(
    ("verb", "form"), [("snow", "snowing"), ("dance", "dancing"), ("swim", "swimming"), ("see", "seeing"), ("rain", "raining")]
)
def test_gerunds(verb, form):
    assert dictionary.gerund(verb) == form


def test_the_vocabulary_is_read_back_as_clips(tmp_path):
    vocab, merges = vocabulary.train_vocabulary(["a dog on a red background", "a dog and a cat", "a cat"] * 5, 40)
    vocabulary.save_vocabulary(tmp_path, vocab, merges)
    tokens = load_tokenizer(tmp_path, vocabulary.LENGTH).encode("A dog")
    names = {number: piece for piece, number in vocab.items()}
    assert [names[int(i)] for i in tokens.ids[: tokens.length]] == ["<|startoftext|>", "a</w>", "dog</w>", "<|endoftext|>"]


def test_contrast_does_not_punish_equals():
    logits = torch.tensor([[2.0, 9.0], [9.0, 2.0]])
    same = torch.ones(2, 2, dtype=torch.bool)
    assert train_scorer.contrast(logits, same) == 0
    assert train_scorer.contrast(logits, torch.eye(2, dtype=torch.bool)) > 10
