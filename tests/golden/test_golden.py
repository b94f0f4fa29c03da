"""The golden pictures are drawn again, to 1 of 255, whatever the instruction set, the threads and the form of the networks."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

import golden  # noqa: E402
from ldmcli.cli import main  # noqa: E402
from ldmcli.records.pictures import PICTURE_SCHEMA, SCHEMA_CHANGES  # noqa: E402

pytestmark = pytest.mark.early

TABLE = json.loads(golden.TABLE.read_text())
STEP = 12
PART = [
    golden.MADE_BY,
    golden.Drawing("best", 2, False, 1, STEP),
    golden.Drawing("best", 2, True, 2, STEP),
    golden.Drawing("avx2", 1, True, 3, STEP),
    golden.Drawing("avx2", 2, False, 4, STEP),
    golden.Drawing("default", 1, False, 5, STEP),
    golden.Drawing("default", 2, True, 6, STEP),
]
"""All pictures under the condition that made them, and each condition for a few; the whole table is slow."""
AGAIN = golden.Drawing("best", 1, True, 8, STEP, again=1)


def test_the_table_is_that_of_the_pictures():
    assert len(TABLE["pixels_sha256"]) == 24
    assert {path.name: golden.pixel_hash(path) for path in golden.golden_paths()} == TABLE["pixels_sha256"]


def test_they_are_of_the_bundled_model_and_of_this_schema():
    assert TABLE["model_sha256"] == golden.bundled_hashes(), "another model: python scripts/golden.py --make"
    assert TABLE["schema"] == PICTURE_SCHEMA, "another schema: python scripts/golden.py --make"
    assert set(SCHEMA_CHANGES) == set(range(2, PICTURE_SCHEMA + 1)), "a schema says in a sentence what it draws otherwise"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """By drawing, how far it is from the golden pictures."""
    known = [drawing for drawing in (*PART, AGAIN) if drawing.instructions in golden.known_sets()]
    folders = golden.draw(known, tmp_path_factory.mktemp("golden"))
    return {drawing: golden.compared(folder) for drawing, folder in folders.items()}


@pytest.mark.parametrize("drawing", PART, ids=str)
def test_no_condition_moves_a_pixel_by_more_than_1(drawn, drawing):
    if drawing not in drawn:
        pytest.skip(f"this processor has no {drawing.instructions}")
    found = drawn[drawing]
    assert found.pictures == 24 if drawing.step == 1 else found.pictures >= 2
    assert found.furthest <= golden.FURTHEST


def test_the_same_conditions_give_the_same_bytes(drawn):
    first, again = drawn[golden.MADE_BY].files, drawn[AGAIN].files
    assert len(again) == 5 and all(first[name] == body for name, body in again.items())


@pytest.mark.parametrize("name", ["8.png", "17.png"])
def test_a_golden_picture_is_verified_as_any_other(name, capsys):
    assert main(["generate", "--from-image", str(golden.GOLDEN / name), "--verify", "--json", "--device", "cpu"]) == 0
    assert json.loads(capsys.readouterr().out)["max_difference"] <= 1


def test_a_pixel_that_is_2_away_is_found(tmp_path):
    shifted = golden.pixels(golden.GOLDEN / "1.png").astype(int)
    shifted[5, 6, 1] += 2 if shifted[5, 6, 1] < 128 else -2
    golden.Image.fromarray(shifted.astype("uint8")).save(tmp_path / "1.png")
    assert golden.compared(tmp_path)[:3] == (1, 1, 2)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_table(tmp_path):
    drawings = golden.everything()
    folders = golden.draw(drawings, tmp_path)
    found = {str(drawing): golden.compared(folder) for drawing, folder in folders.items()}
    assert {name: each.furthest for name, each in found.items() if each.furthest > golden.FURTHEST or each.pictures != 24} == {}
    assert found[str(golden.MADE_BY)].files == found[str(drawings[-1])].files
