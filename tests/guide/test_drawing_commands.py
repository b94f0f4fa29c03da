"""The same as test_commands.py, for the pages whose commands draw."""

import pytest
from blocks import PAGES, typed
from typed_commands import DRAWING, run_page

pytestmark = pytest.mark.early


@pytest.mark.parametrize("page", [page for page in PAGES if page.stem in DRAWING], ids=lambda page: page.stem)
def test_every_command_of_a_page_runs_and_prints_what_is_shown(page, place, shared, capsys, monkeypatch):
    run_page(typed(page), shared[1], capsys, monkeypatch)


def test_the_pages_are_there():
    assert set(DRAWING) < {page.stem for page in PAGES}
