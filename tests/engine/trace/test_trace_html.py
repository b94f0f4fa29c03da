"""`generate --trace`: the page is safe and complete in itself, and its figures can be read."""

import html
import re

import pytest

from ldmcli.engine.trace.recording import shown_layers
from ldmcli.reports.html import in_bytes, in_seconds, in_thousands

EVIL = """</script><script>document.title='owned'</script><img src=x onerror=alert(1)> {{ 7*7 }} & "quoted" """


def test_a_prompt_is_text_to_the_page(trace):
    kinds, page = trace("--negative-prompt", EVIL, prompt=EVIL)
    assert len(re.findall(r"<script", page)) == 2 and "<img src=x" not in page and "49" not in re.search(r"<h1>(.*?)</h1>", page, re.S)[1]
    assert "&lt;/script&gt;&lt;script&gt;" in page
    assert kinds["run"][0]["prompt"] == EVIL


def test_the_page_names_no_other_place(trace):
    _, page = trace()
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "") and "https://" not in page
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(address.startswith("data:") for address in addresses)
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-") and "unsafe" not in policy


SD = {"64": (64, 64), "32": (32, 32), "16": (16, 16), "8": (8, 8)}


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [
        (SD, ["32", "16", "8"]),
        ({"8": (8, 8), "4": (4, 4)}, ["8"]),
        ({"4": (4, 4), "2": (2, 2)}, ["4"]),
        ({"96": (128, 96), "48": (64, 48)}, ["96"]),
        ({"wide": (8, 64), "flat": (4, 32)}, ["wide"]),
    ],
    ids=["SD at 512", "bundled", "only coarse ones", "only fine ones", "wide"],
)
def test_the_layers_that_can_tell_place_are_shown(sizes, shown):
    assert shown_layers(sizes) == shown


def test_figures_are_written_for_people():
    assert [in_bytes(n) for n in (512, 1536, 5 * 2**20, 3 * 2**30)] == ["512 bytes", "1.5 KiB", "5.0 MiB", "3.0 GiB"]
    assert [in_thousands(n) for n in (12, 9300, 11_172_296)] == ["12", "9.3 k", "11.2 M"]
    assert [in_seconds(s) for s in (0.0123, 2.5)] == ["12.3 ms", "2.50 s"]
