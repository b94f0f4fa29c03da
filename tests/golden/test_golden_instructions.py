"""The same as test_golden.py where libraries may use fewer instructions than the processor has."""

import pytest
from conditions import STEP, drawn_under

import golden

pytestmark = pytest.mark.early

PART = [
    golden.Drawing("avx2", 1, True, 3, STEP),
    golden.Drawing("avx2", 2, False, 4, STEP),
    golden.Drawing("default", 1, False, 5, STEP),
    golden.Drawing("default", 2, True, 6, STEP),
]
"""Each condition for a few pictures; the whole table is slow."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return drawn_under(PART, tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("drawing", PART, ids=str)
def test_no_condition_moves_a_pixel_by_more_than_1(drawn, drawing):
    if drawing not in drawn:
        pytest.skip(f"this processor has no {drawing.instructions}")
    assert drawn[drawing].pictures >= 2
    assert drawn[drawing].furthest <= golden.FURTHEST
