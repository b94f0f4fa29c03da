"""What the text tower reads: captions of the data set and words of the dictionary, each with what is true of its picture."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bundle"))

import build_dataset  # noqa: E402
from caption_batches import CaptionBatches  # noqa: E402
from sources import STYLES  # noqa: E402

WORDS = {"nouns": {"hound": "dog", "cutlet": "grapes", "stone": "quarry"}, "verbs": {"barking": "dog"}}
USE = {"hound": 3.0, "cutlet": 3.0, "stone": 3.0, "barking": 3.0}


@pytest.fixture
def drawn(packages, tmp_path):
    """Batches whose latents are the number of their file."""
    data, dictionary = tmp_path / "data", tmp_path / "dictionary.json"
    build_dataset.build(data, packages, kinds={"background": 6, "split": 3, "placed": 4, "count": 4})
    dictionary.write_text(json.dumps({**WORDS, "use": USE}))
    files = []

    def numbers(paths):
        assert all(path.is_file() for path in paths)
        files.extend(path.name for path in paths)
        return torch.arange(len(paths)).half().view(-1, 1, 1, 1)

    batches = CaptionBatches(data, dictionary, packages, numbers)
    assert len(set(files)) == len(files)
    return batches, {image["file_name"]: image for image in batches.images}, files


def pictures_of(batch, pictures, files):
    """The pictures of each text, by style."""
    for latents, shown in zip(batch.latents.flatten(1), batch.shown, strict=True):
        yield {STYLES[style]: pictures[files[int(latents[style])]] for style in range(len(STYLES)) if shown[style]}


def test_a_caption_comes_with_the_latents_and_facts_of_its_picture(drawn):
    batches, pictures, files = drawn
    batch = batches.batch(200, 0)
    codes = list(batches.codes)
    assert len(batch.texts) == 200 and batch.looks.shape[0] == 200
    for number, by_style in enumerate(pictures_of(batch, pictures, files)):
        assert by_style and all(image["style"] == style for style, image in by_style.items())
        image = next(iter(by_style.values()))
        assert (image["kind"] == "single") == (len(by_style) == len(STYLES)), "of a scene there is one"
        shown = (image.get("objects") or [image])[0]["emoji"]
        assert codes[batch.facts["first"][number]] == shown
        assert any(name in batch.texts[number] for name in batches.names[shown]), batch.texts[number]


def test_a_name_ends_where_the_caption_says_it(drawn):
    batches, *_ = drawn
    batch = batches.batch(200, 0)
    codes = list(batches.codes)
    for row, up_to, thing in batch.names:
        assert batch.texts[row].startswith(up_to) and any(up_to.endswith(name) for name in batches.names[codes[thing]])
    assert len({row for row, *_ in batch.names}) > 190, "nearly all captions name what they show"
    assert batch.name_looks.shape == (len(batch.names), batch.looks.shape[1])


def test_half_say_a_word_of_the_dictionary_for_a_thing_that_the_picture_shows(drawn):
    batches, pictures, files = drawn
    batch = batches.batch(3, 200)
    codes, said, whole = list(batches.codes), set(), 0
    assert len(batch.texts) == 203
    named = [name for name in batch.names if name[0] >= 3]
    assert [row for row, *_ in named] == [*range(3, 203)], "each has one word"
    shown = list(pictures_of(batch, pictures, files))
    for row, up_to, thing in named:
        word = next(word for word in USE if word in up_to)
        noun = {**WORDS["nouns"], **WORDS["verbs"]}[word]
        assert up_to.removesuffix("s").endswith(word) and batch.texts[row].startswith(up_to)
        assert noun in batches.names[codes[thing]] and batch.facts["first"][row] == thing
        whole += batch.texts[row] == up_to
        if batch.texts[row] == up_to and word == "barking":
            assert len(shown[row]) == len(STYLES), "a word alone is a thing alone"
        said.add(word)
    assert said == {"hound", "cutlet", "barking"}, "nothing is drawn of a quarry"
    assert 0.4 < whole / 200 < 0.95


def test_the_vocabulary_is_of_all_captions_and_words(drawn):
    batches, *_ = drawn
    texts = batches.texts()
    assert texts.count("hound") == texts.count("barking") == 4 and "stone" not in texts
    assert set(text for said in batches.said.values() for text in said) < set(texts)
