"""The scripts that try bad inputs: nothing of the list is left out, and the fuzzer finds what it should."""

import argparse
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_the_table_has_all_58_and_sixty_more_each_under_a_name_of_its_own():
    from hostile.bad_files import FILES
    from hostile.bad_models import MODELS
    from hostile.listed import LISTED

    assert {int(row.name.split()[0]) for row in LISTED} == set(range(1, 59))
    names = [row.name for row in [*LISTED, *MODELS, *FILES]]
    assert len(MODELS + FILES) >= 60 and len({*names}) == len(names)


def test_the_fuzzer_counts_what_is_read_refused_and_raised(tmp_path):
    from hostile.readers import Reader
    from ldmcli.errors import LdmError

    loader = type(sys)("fuzz")
    loader.__file__ = str(SCRIPTS / "fuzz")
    exec(compile((SCRIPTS / "fuzz").read_text(), "fuzz", "exec"), loader.__dict__)

    def read(folder):
        body = (folder / "x").read_bytes()
        if len(body) % 3 == 0:
            raise LdmError("no")
        if len(body) % 3 == 1:
            raise KeyError("oh")

    one, tally = Reader((b"abc",), "x", read), loader.Tally()
    one.prepare(tmp_path / "own")
    loader.run(one, "x", tmp_path / "own", range(60), argparse.Namespace(seed=0, seconds=5, keep=tmp_path / "kept"), tally)
    failed = sum(tally.faults.values())
    assert tally.inputs == 60 == tally.read + tally.refused + failed and min(tally.read, tally.refused, failed) > 0
    assert len(list((tmp_path / "kept").iterdir())) == failed
    number = int(next(iter(tally.first.values())))
    assert len(one.input(loader.draw_of("x", 0, number))) % 3 == 1  # drawn again by its number
