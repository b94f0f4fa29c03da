"""--index: one page of all the pictures that a folder's manifest knows."""

import json
import re
from html import unescape

import pytest
from outputs import rows_of

from ldmcli.reports.index_page import card

EVIL = """<img src=x onerror='document.title = "owned"'> {{ 7*7 }} & dog"""


def cards(folder):
    """(address, prompt, {setting: value}) of every picture on the page."""
    page = (folder / "index.html").read_text(encoding="utf-8")
    found = []
    for item in re.findall(r"<li>(.*?)</li>", page, re.S):
        settings = {unescape(name): unescape(value) for name, value in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", item)}
        found.append((re.search(r'<img src="([^"]*)"', item)[1], unescape(re.search(r"<h2>(.*?)</h2>", item, re.S)[1]), settings))
    return found


@pytest.fixture
def draw(generate, tmp_path):
    return lambda *argv: generate(*argv, "--steps", "1", "--index", "-o", f"{tmp_path}/out/")


def test_every_picture_stands_beside_its_prompt_seed_and_settings(draw, tmp_path):
    code, printed, _ = draw("a dog", EVIL, "-s", "5", "-n", "2", "--cfg-rescale", "0.5", "--cfg", "3", "--negative-prompt", EVIL, "--json")
    assert code == 0 and json.loads(printed)["index"] == f"{tmp_path}/out/index.html"
    found = cards(tmp_path / "out")
    assert [address for address, _, _ in found] == [f"./0000{i}_seed{5 + i % 2}.png" for i in range(4)]
    assert [prompt for _, prompt, _ in found] == ["a dog", "a dog", EVIL, EVIL]
    assert [settings["seed"] for _, _, settings in found] == ["5", "6"] * 2
    common = {
        "scheduler": "dpm++2m",
        "steps": "1",
        "guidance": "3",
        "cfg-rescale": "0.5",
        "without": EVIL,
        "size": "64 × 64",
        "model": "tiny",
    }
    assert all(settings.items() >= common.items() for _, _, settings in found)
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert "<script" not in page and "<img src=x" not in page and "49" not in re.sub(r"[0-9a-f+/A-Z=]{40,}", "", page)


def test_later_commands_join_and_what_was_deleted_goes(draw, tmp_path):
    draw("a dog", "-s", "5", "-n", "2", "-q")
    first = (tmp_path / "out/index.html").stat().st_ino
    assert draw("a cat", "-s", "9", "-q")[1].splitlines()[-1] == f"{tmp_path}/out/index.html"
    assert [address for address, _, _ in cards(tmp_path / "out")] == ["./00000_seed5.png", "./00001_seed6.png", "./00002_seed9.png"]
    assert (tmp_path / "out/index.html").stat().st_ino != first  # a new file took its name
    (tmp_path / "out/00001_seed6.png").unlink()
    draw("a cat", "-s", "9", "-q", "--resume")
    assert [address for address, _, _ in cards(tmp_path / "out")] == ["./00000_seed5.png", "./00002_seed9.png"]
    draw("a dog", "-s", "5", "-n", "2", "-q", "--resume")
    assert len(cards(tmp_path / "out")) == 3 and not [path for path in (tmp_path / "out").iterdir() if path.name.endswith(".tmp")]


def test_a_page_of_somebody_else_is_never_written_over(draw, tmp_path):
    (tmp_path / "out").mkdir()
    page = tmp_path / "out/index.html"
    page.write_text("<h1>mine</h1>")
    code, _, err = draw("a dog", "-q")
    assert code == 2 and f"{page} already exists, and --index did not write it." in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["index.html"] and page.read_text() == "<h1>mine</h1>"


def test_a_manifest_written_by_anyone_cannot_lead_elsewhere_or_break_the_page(draw, tmp_path):
    draw("a dog", "-s", "5", "-q")
    row = rows_of(tmp_path / "out")[-1]
    strange = {"cfg": [1, {"a": 2}], "seed": "<b>", "width": "wide", "height": None, "settings": {"<i>": EVIL}, "prompt": 7}
    (tmp_path / "out/javascript:alert(1)").write_bytes(b"x")
    with (tmp_path / "out/manifest.jsonl").open("a") as file:
        for changes in (strange, {"path": "javascript:alert(1)"}, {"path": "../../x.png"}):
            file.write(json.dumps({**row, "id": str(changes), **changes}) + "\n")
    assert draw("a cat", "-s", "6", "-q")[0] == 0
    found = cards(tmp_path / "out")
    assert [address for address, _, _ in found] == ["./00000_seed5.png", "./javascript%3Aalert%281%29", "./00001_seed6.png"]
    assert found[0][2]["seed"] == "<b>" and found[0][2]["<i>"] == EVIL and found[0][1] == "7"


def test_a_manifest_of_an_earlier_version_has_fewer_settings():
    row = {"path": "a.png", "prompt": "a", "seed": 0, "width": 64, "height": 64, "cfg": 7.5, "negative_prompt": "", "truncated_tokens": 0}
    assert card(row).settings == [("seed", "0"), ("size", "64 × 64"), ("guidance", "7.5")]
