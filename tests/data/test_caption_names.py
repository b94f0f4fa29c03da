"""Names in captions files and the pictures that they mean."""

from pathlib import Path

import pytest

from ldmcli.data.caption_names import pair_names
from ldmcli.errors import UsageError

PAIRED = {
    "a name without a folder is for every folder": (["a/0.png", "b/0.png"], {"0.png": "x"}, {"a/0.png": "x", "b/0.png": "x"}, "2 by name"),
    "a folder tells equal names apart": (
        ["a/0.png", "b/0.png"], {"a/0.png": "x", "b/0.png": "y"}, {"a/0.png": "x", "b/0.png": "y"}, "2 by folder and name",
    ),
    "the longest path wins": (
        ["p/a/0.png", "q/a/0.png"], {"p/a/0.png": "x", "a/0.png": "y"}, {"p/a/0.png": "x", "q/a/0.png": "y"}, "2 by folder and name",
    ),
    "a name of a folder of its own is not lent": (["a/0.png", "b/0.png"], {"a/0.png": "x"}, {"a/0.png": "x"}, "1 by folder and name"),
    "another folder is no obstacle alone": (["mine/0.png"], {"theirs/0.png": "x"}, {"mine/0.png": "x"}, "1 by name"),
    "a bare name before one of another folder": (["c/0.png"], {"b/0.png": "x", "0.png": "y"}, {"c/0.png": "y"}, "1 by name"),
    "an absolute path of another machine": (
        ["a/0.png"], {"/data/a/0.png": "x", "/data/b/0.png": "y"}, {"a/0.png": "x"}, "1 by folder and name",
    ),
    "backslashes": (["a/0.png"], {"a\\0.png": "x", "b\\0.png": "y"}, {"a/0.png": "x"}, "1 by folder and name"),
    "dots and blanks": (["a/0.png"], {" ./a//0.png ": "x"}, {"a/0.png": "x"}, "1 by folder and name"),
    "without its ending": (
        ["a/0.png", "1.2.png"], {"0": "x", "1.2": "y"}, {"a/0.png": "x", "1.2.png": "y"}, "2 by name without its ending",
    ),
    "with another ending": (["0.png"], {"0.JPG": "x"}, {"0.png": "x"}, "1 by name without its ending"),
    "its own ending before another": (["0.png"], {"0.jpg": "x", "0.png": "y"}, {"0.png": "y"}, "1 by name"),
    "equal captions are no question": (["c/0.png"], {"a/0.png": "x", "b/0.png": "x"}, {"c/0.png": "x"}, "1 by name"),
    "no name, no caption": (["0.png"], {"1.png": "x", "": "y"}, {}, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", PAIRED)
def test_a_picture_gets_the_captions_of_the_name_that_fits_best(case):
    files, names, expected, told = PAIRED[case]
    found = pair_names([(name, [text]) for name, text in names.items()], [Path(file) for file in files], "c.json")
    assert found.captions == {Path(file): [text] for file, text in expected.items()} and found.summary == told


@pytest.mark.parametrize(
    ("file", "names"), [("c/0.png", ("a/0.png", "b/0.png")), ("0.webp", ("0.jpg", "0.png")), ("c/0.png", ("a/0", "b/0.jpg"))]
)
def test_what_could_be_two_is_refused_by_name(file, names):
    with pytest.raises(UsageError, match="could both be") as caught:
        pair_names([(name, [name]) for name in names], [Path(file)], "c.json")
    assert all(part in caught.value.message for part in (*names, file, "c.json"))


def test_a_name_may_come_again():
    found = pair_names([("0.png", ["x"]), ("./0.png", ["y", "z"])], [Path("0.png")], "c.json")
    assert found.captions == {Path("0.png"): ["x", "y", "z"]}


def test_ten_thousand_of_each_take_no_time():
    files = [Path(f"{n % 7}/{n}.png") for n in range(10_000)]
    assert len(pair_names([(str(file), ["x"]) for file in files], files, "c").captions) == 10_000
