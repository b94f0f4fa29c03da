"""Every command of README and guide runs, but for those of test_drawing_commands.py; what it is shown to print is compared."""

import json
import re

import pytest
from blocks import PAGES, ROOT, Typed, blocks, typed
from typed_commands import DRAWING, compare, parse, run, run_page

pytestmark = pytest.mark.early


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem not in ("options", *DRAWING)], ids=lambda page: page.stem)
def test_every_command_of_a_page_runs_and_prints_what_is_shown(page, place, shared, capsys, monkeypatch):
    run_page(typed(page), shared[1], capsys, monkeypatch)


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem == "options"], ids=lambda page: page.stem)
def test_the_examples_of_the_commands_are_understood(page, place):
    for command in typed(page):
        if "--config" not in command.words:  # of a file that is not there
            parse(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_that_is_shown_is_in_the_code_or_runs(page, place):
    known = {}
    for block in blocks(page):
        if block.language == "python" and page.stem != "python":  # tests/api/test_python_page.py runs that page
            text = "\n".join(block.lines)
            source = re.match(r"(?:def|class) (\w+)", text)
            if source:
                assert any(text in file.read_text() for file in (ROOT / "ldmcli").rglob("*.py")), f"{page.name}:{block.line}"
            else:
                exec(compile(text, f"{page.name}:{block.line}", "exec"), known)


def test_json_that_is_shown_is_json():
    for page in PAGES:
        for block in blocks(page):
            if block.language == "json":
                json.loads("\n".join(block.lines))


def test_a_command_with_a_mistake_is_found(place, capsys, monkeypatch):
    with pytest.raises(AssertionError, match=r"here:1.*\n.*No such option"):
        run(Typed("here:1", "ldm generate a --stepz 3", ()), 0, set(), capsys, monkeypatch)
    with pytest.raises(AssertionError, match="here:2"):
        compare(Typed("here:2", "ldm clipscore pics/", ("CLIPScore 43.5",)), ["CLIPScore 33.5"])
    with pytest.raises(AssertionError, match="here:3"):
        compare(Typed("here:3", "ldm generate a", ("a.png",)), ["b.png"])
    with pytest.raises(Exception, match="stepz"):
        parse(Typed("here:4", "torchrun -m ldmcli train-unet --data x --stepz 1", ()))
