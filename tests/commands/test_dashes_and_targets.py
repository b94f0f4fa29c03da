"""What - and -o mean on a command line."""

import io
import sys

import pytest

from ldmcli.config.generation import GenerateConfig
from ldmcli.errors import UsageError
from ldmcli.outputs.naming import find_target

PROMPTS = {
    "alone": (["-"], ["a cat", "a bird"]),
    "among others": (["a dog", "-", "a fish"], ["a dog", "a cat", "a bird", "a fish"]),
    "by its option": (["-p", "-"], ["a cat", "a bird"]),
    "of a comparison": (["-"], ["a cat", "a bird"]),
}


@pytest.mark.parametrize("what", PROMPTS)
def test_a_dash_is_standard_input(what, model, monkeypatch, tmp_path):
    from ldmcli.commands.requests import collect_requests

    typed, expected = PROMPTS[what]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a cat\n# no prompt\na bird\n")))
    requests, unusable, notes = collect_requests([text for text in typed if text != "-p"], None, [], GenerateConfig())
    assert [request.prompt for request in requests] == expected and unusable == []
    assert len(notes) == 1 and "line 2" in notes[0].text


def test_standard_input_is_read_once(ldm):
    for arguments in (["-", "-"], ["-", "-f", "-"]):
        code, out, err = ldm("generate", *arguments)
        assert (code, out) == (2, "") and err.startswith("error: standard input is named twice")


TARGETS = {  # -o, the folder, whether it names one file
    "new": ("new", False),
    "new/": ("new", False),
    "deep/new": ("deep/new", False),
    "model.v2": ("model.v2", False),
    "a.png": (".", True),
    "deep/a.JPG": ("deep", True),
}


@pytest.mark.parametrize("typed", TARGETS)
def test_a_target_that_is_not_there_is_a_folder_unless_it_ends_as_a_picture(typed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target, (folder, named) = find_target(GenerateConfig(output=typed), 1), TARGETS[typed]
    assert (str(target.folder), target.file is not None) == (folder, named)


@pytest.mark.parametrize("typed", ["a.gif", "deep/a.tiff", "{seed}", "out/{prompt}"])
def test_a_picture_that_cannot_be_written_and_a_template_without_an_ending_are_no_folder(typed):
    with pytest.raises(UsageError, match="ends in .png, .webp or .jpg"):
        find_target(GenerateConfig(output=typed), 1)
