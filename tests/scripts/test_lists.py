"""The lists of prompts that the bundled model is judged on."""

import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bundle"))

import lists  # noqa: E402


def test_concepts_are_three_hundred_in_groups():
    concepts = lists.read_concepts()
    groups = [row["group"] for row in concepts]
    assert len({row["prompt"] for row in concepts}) == len(concepts) == 300
    assert min(map(groups.count, groups)) >= 9
    assert all(len(set(row["emoji"])) == len(row["emoji"]) > 0 for row in concepts)


def test_synonyms_are_a_hundred_words_in_prompts_of_their_own():
    synonyms = lists.read_synonyms()
    assert len({row["word"] for row in synonyms}) == len(synonyms) == 100
    assert all(row["prompt"].endswith(row["word"]) and row["emoji"] for row in synonyms)
    assert not {row["prompt"] for row in synonyms} & {row["prompt"] for row in lists.read_concepts()}


@pytest.mark.parametrize("text", ["a hound", "three hounds", "Hound, flat style", "it is raining on a wave", "a dog, a mutt, barking"])
def test_a_caption_with_a_synonym_is_refused(text):
    assert not lists.is_free_of_synonyms(text)


@pytest.mark.parametrize("text", ["a dog", "a greyhound", "a jetty", "pythonesque", "rain", "a mushroom"])
def test_whole_words_only(text):
    assert lists.is_free_of_synonyms(text)


def test_codes_that_no_picture_shows_are_named():
    assert lists.unknown_codes([{"prompt": "a dog", "emoji": ["1F436", "1F999"]}], {"1F436"}) == ["a dog: 1F999"]


def test_lists_agree_with_the_built_data_set():
    """Needs the real data: LDM_EMOJI=DIR pytest. A concept's prompt, where it is a caption, is one of the listed emoji only."""
    if "LDM_EMOJI" not in os.environ:
        pytest.skip("LDM_EMOJI names no data set")
    notes = json.loads((Path(os.environ["LDM_EMOJI"]) / "annotations/captions_train2017.json").read_text())
    code = {image["id"]: image["emoji"] for image in notes["images"] if image["kind"] == "single"}
    captioned: dict[str, set[str]] = {}
    for row in notes["annotations"]:
        if row["image_id"] in code:
            captioned.setdefault(row["caption"], set()).add(code[row["image_id"]])
    assert not lists.unknown_codes(lists.read_concepts() + lists.read_synonyms(), set(code.values()))
    assert all(lists.is_free_of_synonyms(row["caption"]) for row in notes["annotations"])
    for concept in lists.read_concepts():
        assert captioned.get(concept["prompt"], set()) <= set(concept["emoji"]), concept
