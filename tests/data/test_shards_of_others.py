"""Shards as people have them, a row per habit: what is read of them, and what is told of the rest."""

import pytest
from made_folders import BLUE, CAFE, J, P, drawn, found, laid_out, tar

from ldmcli.data.captioned import Collector
from ldmcli.data.layouts import load_captioned
from ldmcli.data.pictures import read_squares
from ldmcli.data.shards import Keys, samples_of
from ldmcli.errors import LdmError, UsageError

READ = {
    # 21: WebDataset
    "endings of several parts": (
        {
            "s.tar": tar(
                ("x.cond.jpg", b"?"), ("x.jpg", J), ("x.meta.json", b'{"caption": "no"}'), ("x.negative.txt", b"ugly"), ("x.txt", b"a cat")
            )
        },
        [("s/x", "a cat")],
    ),
    "what macOS adds": (
        {"s.tar": tar(("._x.jpg", b"?"), ("x.jpg", J), ("d/._x.txt", b"?"), ("x.txt", b"a cat")), "._s.tar": b"?"},
        [("s/x", "a cat")],
    ),
    "an unsorted tar": (
        {"s.tar": tar(("y.jpg", J), ("x.jpg", J), ("x.txt", b"an x"), ("y.txt", b"a y"))},
        [("s/y", "a y"), ("s/x", "an x")],
    ),
    "endings in capitals": ({"s.tar": tar(("x.JPG", J), ("x.TXT", b"a cat"))}, [("s/x", "a cat")]),
    "a dot in the folder": ({"s.tar": tar(("./v1.0/x.jpg", J), ("./v1.0/x.txt", b"a cat"))}, [("s/./v1.0/x", "a cat")]),
    "a shard's own description": (
        {"s.tar": tar(("__about__", J), ("__about__/y.jpg", J), ("__about__/y.txt", b"?"), ("x.jpg", J), ("x.txt", b"a"))},
        [("s/x", "a")],
    ),
    "captions in UTF-16": ({"s.tar": tar(("x.jpg", J), ("x.txt", CAFE.encode("utf-16")))}, [("s/x", "un café")]),
}


@pytest.mark.parametrize("what", READ)
def test_it_is_read(tmp_path, what):
    files, expected = READ[what]
    data = load_captioned(laid_out(tmp_path, files))
    assert found(data) == expected
    assert all(read_squares(image, 4, "center").shape == (1, 3, 4, 4) for image in data.images)
    assert data.problems == ()


TOLD = {
    # 21: WebDataset
    "only pictures to begin with": (
        {"s.tar": tar(("x.cond.jpg", J), ("x.txt", b"a cat"))},
        r"1 x sample without a picture\). The members end in (cond\.jpg|txt) \(1\)",
    ),
    "only captions of another ending": ({"s.tar": tar(("x.jpg", J), ("x.prompt.txt", b"a"))}, r"end in (jpg|prompt\.txt) \(1\)"),
}


@pytest.mark.parametrize("what", TOLD)
def test_it_is_told(tmp_path, what):
    files, words = TOLD[what]
    with pytest.raises(LdmError, match=words):
        load_captioned(laid_out(tmp_path, files))


LEFT_OUT = {
    "a caption in a shard that is no UTF-8": (
        {"s.tar": tar(("x.jpg", J), ("x.txt", b"caf\xe9"), ("y.jpg", J), ("y.txt", b"a"))},
        {
            "s/x": "sample whose caption is not readable text: "
            "x.txt, line 1: not UTF-8: byte 0xe9 at place 4, which would be 'é' in Windows-1252."
        },
    ),
    "a name twice in a shard": (
        {"s.tar": tar(("x.jpg", J), ("x.txt", b"a"), ("x.txt", b"b"), ("y.jpg", J), ("y.txt", b"a"))},
        {"s/x": "sample with two members of one name: x.txt"},
    ),
}


@pytest.mark.parametrize("what", LEFT_OUT)
def test_it_is_left_out_and_listed(tmp_path, what):
    files, expected = LEFT_OUT[what]
    data = load_captioned(laid_out(tmp_path, files))
    assert len(data) == 1 and {skipped.id: skipped.reason for skipped in data.skipped} == expected
    assert sum(int(problem.split(" x ")[0]) for problem in data.problems) == len(expected)


MEMBERS = [
    ("x.cond.jpg", drawn(BLUE, "JPEG")),
    ("x.jpg", J),
    ("x.png", P),
    ("x.txt", b"plain"),
    ("x.p.json", b'{"prompt": "from json"}'),
    ("x.long.txt", b"long"),
]


@pytest.mark.parametrize(
    ("keys", "blue", "caption", "problems"),
    [
        (None, False, "plain", 1),
        (Keys(image="png"), False, "plain", 0),
        (Keys(image=".COND.jpg"), True, "plain", 0),
        (Keys(image="cond.jpg", caption="p.json"), True, "from json", 0),
        (Keys(image="jpg", caption="long.txt"), False, "long", 0),
    ],
)
def test_members_of_a_shard_can_be_named(tmp_path, keys, blue, caption, problems):
    data = load_captioned(laid_out(tmp_path, {"s.tar": tar(*MEMBERS)}), keys=keys)
    assert data.images[0].captions == (caption,) and len(data.problems) == problems
    assert (read_squares(data.images[0], 4, "center")[0, :, 0, 0].argmax() == 2) == blue
    assert all("jpg, png: jpg is taken; --image-key" in problem for problem in data.problems)


def test_members_are_named_only_where_there_are_any(tmp_path):
    with pytest.raises(UsageError, match="--image-key"):
        load_captioned(laid_out(tmp_path, {"a.png": P, "a.txt": b"a"}), keys=Keys(image="png"))


def test_keys_and_endings_are_those_of_the_webdataset_library(tmp_path):
    library = pytest.importorskip("webdataset.tariterators")
    names = [
        "a.jpg",
        "a.b.JPG",
        "d.1/a.jpg",
        "./a.txt",
        ".hidden.jpg",
        "d/.hidden.jpg",
        "._a.jpg",
        "d/._a.jpg",
        "no-ending",
        "a.",
        "__m__/a.jpg",
        "__m__",
    ]
    shard = laid_out(tmp_path, {"s.tar": tar(*((name, b"1") for name in names))}) / "s.tar"
    theirs = {}
    with shard.open("rb") as file:
        source = ({**member, "__url__": "s.tar"} for member in library.tar_file_iterator(file))
        for sample in library.group_by_keys(source):
            theirs.setdefault(sample["__key__"], set()).update(name for name in sample if not name.startswith("__"))
    theirs["d/"] -= {"_a.jpg"}  # theirs makes a sample of what macOS adds
    assert {sample.key: sample.endings for sample in samples_of(shard, Keys(), Collector())} == theirs
