"""Whatever a stranger's file holds, its reader answers or raises LdmError. Hypothesis shrinks what does not; `scripts/fuzz` tries more."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from hostile.mutations import spoilt_bytes, spoilt_json  # noqa: E402
from hostile.readers import READERS  # noqa: E402
from ldmcli.errors import LdmError  # noqa: E402
from ldmcli.readers import tables  # noqa: E402
from ldmcli.readers.json_text import parse_json  # noqa: E402
from ldmcli.readers.rules import Rule, check  # noqa: E402

QUICK = settings(max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
DICE = st.randoms(use_true_random=False)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8
)
TABLES = {name: rule for name, rule in vars(tables).items() if isinstance(rule, Rule)}


@pytest.fixture(scope="module", params=READERS)
def reader(request, tmp_path_factory):
    """(reader, its folder)."""
    folder = tmp_path_factory.mktemp("stranger")
    READERS[request.param].prepare(folder)
    return READERS[request.param], folder


def test_every_file_that_is_spoilt_later_is_read_as_it_is(reader):
    """Else everything is refused for one and the same reason, and nothing is tried."""
    one, folder = reader
    for seed in one.seeds:
        one.take(folder, seed if isinstance(seed, bytes) else json.dumps(seed).encode())


def test_a_spoilt_file_is_read_or_refused(reader):
    one, folder = reader

    @QUICK
    @given(DICE)
    def spoil(draw):
        try:
            one.take(folder, one.input(draw))
        except LdmError as error:
            assert error.message and "\n" not in error.message.strip()

    spoil()


def test_anything_at_all_in_place_of_the_file_is_read_or_refused(reader):
    one, folder = reader

    @QUICK
    @given(JSON.map(lambda body: json.dumps(body).encode()) | st.binary(max_size=40))
    def replace(body):
        try:
            one.take(folder, body)
        except LdmError:
            pass

    replace()


@QUICK
@given(st.sampled_from(sorted(TABLES)), JSON)
def test_a_rule_takes_any_value(name, value):
    try:
        check(value, TABLES[name], "file")
    except LdmError as error:
        assert error.message.startswith("file: ") and error.message.endswith("needed.")


@QUICK
@given(st.text() | st.binary())
def test_any_text_is_json_or_refused(text):
    try:
        parse_json(text, "file")
    except LdmError as error:
        assert error.message.startswith("file is not readable JSON")


def test_the_same_dice_spoil_in_the_same_way():
    """What the fuzzer reports can be drawn again."""
    from random import Random

    body = {"a": [1, {"b": "c"}], "d": None}
    assert json.dumps(spoilt_json(body, Random(5))) == json.dumps(spoilt_json(body, Random(5)))
    assert spoilt_bytes(b"abcdef", Random(5)) == spoilt_bytes(b"abcdef", Random(5)) != b"abcdef"
    assert body == {"a": [1, {"b": "c"}], "d": None}
