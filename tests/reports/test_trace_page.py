"""The page of --trace in a real browser: what moves, what loads, what a prompt cannot do."""

import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from legible import LOOKS, axe_findings, hard_to_read  # noqa: E402
from tiny import make_pipeline  # noqa: E402

from ldmcli.cli import main  # noqa: E402

pytestmark = [pytest.mark.browser, pytest.mark.early]

EVIL = """</script><script>document.title = "owned"</script><img src=x onerror='document.title = "owned"'> red dog"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_pipeline(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def draw(model, tmp_path_factory):
    """Trace a picture of four calls; returns the page's path."""

    def run(prompt, *argv):
        folder = tmp_path_factory.mktemp("look")
        arguments = ["generate", prompt, "-m", str(model), "-s", "5", "-o", f"{folder}/dog.png", "-q", "--trace", str(folder), *argv]
        assert main(arguments) == 0
        return folder / "trace.html"

    return run


@pytest.fixture(scope="module")
def dog(draw):
    return draw("red dog")


@contextmanager
def opening(chromium):
    """Open pages offline; returns (page, what its console and its loader complained about, addresses it asked for)."""
    contexts = []

    def run(path, **options):
        context = chromium.new_context(offline=True, **options)
        contexts.append(context)
        page, complaints, asked = context.new_page(), [], []
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("body[data-ready=yes]", timeout=20_000)
        return page, complaints, asked

    yield run
    for context in contexts:
        context.close()


@pytest.fixture
def opened(chromium):
    """See `opening`; closed after each test."""
    with opening(chromium) as run:
        yield run


@pytest.fixture(scope="module")
def seen(chromium, dog):
    """The page as it opens, which no test touches."""
    with opening(chromium) as run:
        yield run(dog)


def move_slider(page, to):
    page.locator("#slider").evaluate("(slider, to) => { slider.value = to; slider.dispatchEvent(new Event('input')); }", to)


def overlay(page):
    return page.locator("#overlay").evaluate("canvas => canvas.toDataURL()")


def test_the_page_opens_without_a_network_and_without_a_complaint(seen, dog):
    _, complaints, asked = seen
    assert complaints == []
    assert [address for address in asked if not address.startswith("data:")] == [dog.as_uri()]


def test_every_picture_is_there(seen):
    page, _, _ = seen
    sizes = page.locator("img").evaluate_all("images => images.map(image => [image.complete, image.naturalWidth])")
    assert sizes == [[True, 64]] * 4


def test_the_page_opens_on_a_phone_at_the_first_call_with_the_noise_beside_the_guess(opened, dog):
    page, complaints, _ = opened(dog, viewport={"width": 360, "height": 780}, color_scheme="light")
    assert page.locator("#where").inner_text().startswith("call 1 of 4") and page.locator("#slider").input_value() == "0"
    noisy, guess = (page.locator(name).bounding_box() for name in ("#x_t", "#guided"))
    assert noisy["x"] + noisy["width"] <= guess["x"] and noisy["y"] == guess["y"] and noisy["width"] == guess["width"]
    assert all_is_in_sight(page, 360, "light") and complaints == []


def test_the_slider_walks_through_the_calls_and_the_keyboard_moves_it(opened, dog):
    page, complaints, _ = opened(dog)
    seen = {name: set() for name in ("x_t", "uncond", "cond", "guided")}
    places, markers = set(), set()
    for call in range(4):
        move_slider(page, call)
        for name, pictures in seen.items():
            pictures.add(page.locator(f"#{name}").get_attribute("src"))
        places.add(page.locator("#where").inner_text())
        markers.add(page.locator("#norms .marker").get_attribute("x1"))
    assert all(len(pictures) == 4 for pictures in seen.values()) and len(places) == len(markers) == 4
    assert any(place.startswith("call 1 of 4 · t 9") for place in places)
    move_slider(page, 0)
    before = page.locator("#guided").get_attribute("src")
    page.locator("#slider").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#where").inner_text().startswith("call 2 of 4")
    assert page.locator("#guided").get_attribute("src") != before and complaints == []


def test_play_runs_to_the_last_call_and_stops(opened, dog):
    page, _, _ = opened(dog)
    page.locator("#play").click()
    page.locator("#where", has_text="call 4 of 4").wait_for()
    page.locator("#play", has_text="▶").wait_for()
    assert page.locator("#play").get_attribute("aria-label") == "play"


def test_choosing_a_word_lays_its_map_over_the_picture(opened, dog):
    page, complaints, _ = opened(dog)
    cards = page.locator(".card")
    assert cards.locator("b").all_inner_texts() == ["start", "red", "dog", "end", "18 pads"]
    seen = set()
    for number in range(5):
        cards.nth(number).click()
        assert cards.evaluate_all("all => all.map(card => card.ariaPressed)") == [str(n == number).lower() for n in range(5)]
        assert page.locator("#legend").inner_text().strip("“").startswith(["start", "red", "dog", "end", "18 pads"][number])
        seen.add(overlay(page))
    assert len(seen) == 5 and complaints == []


def test_maps_of_single_calls_follow_the_slider_and_the_mean_does_not(opened, dog):
    page, _, _ = opened(dog)

    def two():
        maps = []
        for call in (0, 3):
            move_slider(page, call)
            maps.append(overlay(page))
        return maps

    first, last = two()
    assert first == last
    page.locator("input[value=call]").check()
    first_now, last_now = two()
    assert first_now != last_now and first_now != first
    page.locator("#grid").check()
    assert overlay(page) != last_now


def test_shares_of_start_and_pads_are_shown_and_add_up(seen):
    page, _, _ = seen
    shares = [float(text.removesuffix(" %")) for text in page.locator(".card span").all_inner_texts()]
    assert len(shares) == 5 and abs(sum(shares) - 100) < 2 and shares[0] > 0 and shares[-1] > 0


def test_a_prompt_cannot_run(opened, draw):
    page, complaints, _ = opened(draw(EVIL, "--negative-prompt", EVIL))
    assert page.locator("h1").inner_text() == " ".join(EVIL.split())
    assert page.title().endswith("taken apart by ldm") and complaints == []
    assert page.locator("script").count() == 2 and page.locator("img").count() == 4
    listen = "document.addEventListener('securitypolicyviolation', event => done(event.violatedDirective))"
    attack = "document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title = 1'}))"
    refused = page.evaluate(f"new Promise(done => {{ {listen}; {attack}; }})")
    assert refused == "script-src-elem" and page.title() != "1"


def test_without_guidance_there_is_one_picture_of_an_answer(opened, draw):
    page, complaints, _ = opened(draw("dog", "--cfg", "1", "--steps", "1"))
    assert not page.locator("#uncond").is_visible() and page.locator("#guided").is_visible() and complaints == []


def test_a_call_outside_of_the_interval_shows_its_one_answer(opened, draw):
    page, complaints, _ = opened(draw("(red:1.4) dog", "--weighting", "a1111", "--cfg-interval", "0.3,0.8"))
    seen = []
    for call in range(4):
        move_slider(page, call)
        assert page.locator("#guided").is_visible()
        seen.append(page.locator("#uncond").is_visible())
    assert seen[0] is False and True in seen and complaints == []
    assert page.locator(".card b").all_inner_texts()[:3] == ["start", "red × 1.4", "dog"]
    assert page.locator("#norms path.uncond").get_attribute("d").startswith("M")


def all_is_in_sight(page, width, scheme):
    """Whether nothing sticks out of the screen, and the colours are those of the scheme."""
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number).reduce((a, b) => a + b) < 380")
    return page.evaluate("document.documentElement.scrollWidth") <= width and dark == (scheme == "dark")


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_the_page_can_be_read_and_reached(opened, dog, width, scheme):
    page, complaints, _ = opened(dog, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert all_is_in_sight(page, width, scheme) and complaints == []
    assert hard_to_read(page) == [] and axe_findings(page) == []


def test_the_chart_keeps_its_letters_when_the_window_changes(opened, dog):
    page, _, _ = opened(dog, viewport={"width": 1280, "height": 800}, color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 780})
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate("document.getElementById('norms').viewBox.baseVal.width") < 350
    assert hard_to_read(page) == [] and page.locator("#norms .marker").count() == 1
    assert all_is_in_sight(page, 360, "dark")
