"""index.html of generate --index in a real browser: it opens offline, shows every picture, and can be read and reached."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from legible import LOOKS, axe_findings, hard_to_read  # noqa: E402
from tiny import make_pipeline  # noqa: E402

from ldmcli.cli import main  # noqa: E402

pytestmark = pytest.mark.browser

EVIL = """<img src=x onerror='document.title = "owned"'><script>document.title = "owned"</script> dog"""


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    model, folder = make_pipeline(tmp_path_factory.mktemp("models") / "tiny"), tmp_path_factory.mktemp("a folder, 100 %") / "out"
    sweep = ["--sweep", "scheduler=dpm++2m-sde-karras,ddim", "--negative-prompt", "x" * 90]
    assert main(["generate", "a dog", EVIL, *sweep, "-m", str(model), "-s", "1", "--steps", "2", "--index", "-q", "-o", f"{folder}/"]) == 0
    return folder / "index.html"


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_the_page_opens_offline_and_can_be_read_and_reached(chromium, index, width, scheme):
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)
    page, complaints, asked = context.new_page(), [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(index.as_uri())
    page.locator("img").last.scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")
    assert page.locator("img").evaluate_all("all => all.map(one => one.naturalWidth)") == [64] * 4
    assert complaints == [] and all(url.startswith(index.parent.as_uri()) for url in asked)
    assert page.title().endswith("ldm") and EVIL in page.locator("body").text_content()
    assert hard_to_read(page) == [] and axe_findings(page) == []
    page.locator(".cards a").first.click()
    page.wait_for_url("**.png")
    context.close()
