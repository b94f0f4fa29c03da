"""report.html of compare-schedulers in a real browser: it sorts, shows a picture large, asks for nothing, and runs no prompt."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from legible import LOOKS, axe_findings, hard_to_read  # noqa: E402
from tiny import make_pipeline  # noqa: E402

from ldmcli.cli import main  # noqa: E402

pytestmark = pytest.mark.browser

EVIL = """<img src=x onerror='document.title = "owned"'> dog"""

FAILS = "lms"
"""It cannot draw with this schedule, so that rows without figures are on the page."""


@pytest.fixture(scope="module")
def report(tmp_path_factory, clip):
    model, folder = make_pipeline(tmp_path_factory.mktemp("models") / "tiny"), tmp_path_factory.mktemp("cmp")
    options = ["-m", str(model), "--clip-model", str(clip), "--steps", "4,2", "--reference-steps", "6"]
    options += ["--schedulers", f"euler,ddim,dpm++2m-sde-karras,{FAILS}"]
    assert main(["compare-schedulers", "a dog", EVIL, *options, "-s", "1", "--device", "cpu", "-q", "-o", str(folder / "cmp")]) == 3
    return folder / "cmp" / "report.html"


@pytest.fixture(params=[{}, {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark"}], ids=["desk", "phone"])
def page(request, chromium, report):
    """The open page; what its console, loader and network said must be nothing."""
    context = chromium.new_context(offline=True, **request.param)
    page, complaints, asked = context.new_page(), [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    yield page
    context.close()
    assert complaints == [] and [url for url in asked if not url.startswith("data:")] == [report.as_uri()]


def test_a_click_sorts_and_another_turns_the_order_round(page):
    heads = page.locator("#results thead th").all_inner_texts()
    calls = next(number for number, text in enumerate(heads) if "calls" in text.lower())
    values = f"[...document.querySelectorAll('#results tbody tr')].map(row => +row.cells[{calls}].dataset.v)"
    before = page.evaluate(values)
    button = page.locator("#results thead th").nth(calls).locator("button")
    button.click()
    assert page.evaluate(values) == sorted(before)
    button.click()
    assert page.evaluate(values) == sorted(before, reverse=True) and len(set(before)) == 2


def test_a_prompt_is_text_and_pictures_load_and_show_large_beside_the_reference(page):
    assert page.title() != "owned" and EVIL in page.locator("body").text_content()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    pictures = page.locator(".block:not([hidden]) .pictures img")
    assert pictures.count() >= 4
    assert page.evaluate("[...document.querySelectorAll('.pictures img')].every(one => one.complete && one.naturalWidth > 0)")
    assert page.locator("#lens").is_hidden()
    pictures.last.hover()
    assert page.locator("#lens").is_visible()


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_the_page_can_be_read_and_reached(chromium, report, width, scheme):
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(report.as_uri())
    assert hard_to_read(page) == [] and axe_findings(page) == []
    assert page.locator("td.error").count() == 2 and page.locator("th:not([scope])").count() == 0
    context.close()
