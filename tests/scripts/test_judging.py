"""The measures of the bundled model, on true renderings of made-up emoji: they must say yes to what is right and no to what is wrong."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bundle"))

import composition  # noqa: E402
import sources  # noqa: E402
from judging import colours, descriptions, diversity, furnishing, looks  # noqa: E402
from judging.asked import Asked  # noqa: E402
from judging.copies import nearest_training  # noqa: E402
from judging.drawing import as_pillow, fingerprint  # noqa: E402
from judging.figures import Figure, table  # noqa: E402
from judging.judge import Judge  # noqa: E402
from judging.recognition import recognised  # noqa: E402
from judging.things import Thing  # noqa: E402
from scenes import read_source  # noqa: E402

SHAPES = {
    "1F436": ("dog face", "ellipse", (8, 8, 56, 56), (200, 120, 40)),
    "1F431": ("cat face", "rectangle", (12, 12, 52, 52), (90, 90, 90)),
    "1F697": ("automobile", "rectangle", (4, 24, 60, 48), (220, 30, 30)),
    "1F332": ("evergreen tree", "polygon", (32, 4, 4, 60, 60, 60), (20, 140, 40)),
    "1F35E": ("bread", "ellipse", (4, 20, 60, 50), (240, 200, 120)),
}
DOG, CAT, CAR, TREE = (Thing(f"a {noun}", noun, (code,)) for noun, code in zip(("dog", "cat", "car", "tree"), SHAPES, strict=False))


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """Five emoji of one style, and a data set of their pictures on white."""
    root = tmp_path_factory.mktemp("judged")
    packages, data = root / "node_modules", root / "data"
    rows = []
    for order, (code, (name, shape, where, colour)) in enumerate(SHAPES.items()):
        picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
        getattr(ImageDraw.Draw(picture), shape)(where, fill=(*colour, 255))
        for folder in (packages / sources.SETS[0].folder, data / "train2017"):
            folder.mkdir(parents=True, exist_ok=True)
        picture.save(packages / sources.SETS[0].folder / f"{code.lower()}.png")
        table_row = {"unified": code, "image": f"{code.lower()}.png", "name": name.upper(), "category": "Animals & Nature"}
        rows.append({**table_row, "subcategory": "animal-mammal", "sort_order": order})
        white = Image.new("RGBA", (64, 64), "white")
        white.alpha_composite(picture)
        white.convert("RGB").save(data / f"train2017/{order}.png")
    for path, content in {
        packages / "emoji-datasource-google/emoji.json": rows,
        packages / "emojilib/dist/emoji-en-US.json": {},
        data / "annotations/captions_train2017.json": {
            "images": [{"file_name": f"{i}.png", "emoji": code, "kind": "single"} for i, code in enumerate(SHAPES)],
        },
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return Judge(data, None, 1, packages=packages)


def composed(judge, background, *placed):
    """placed: (thing, side, x, y), the centre in shares. Returns (1, 3, 64, 64) uint8."""
    canvas = Image.new("RGBA", (64, 64), background)
    for thing, side, x, y in placed:
        small = read_source(judge.wardrobe.paths(judge.wardrobe.emoji[thing.emoji[0]])[0]).resize((side, side))
        canvas.alpha_composite(small, (round(64 * x - side / 2), round(64 * y - side / 2)))
    picture = torch.frombuffer(bytearray(canvas.convert("RGB").tobytes()), dtype=torch.uint8)
    return picture.view(64, 64, 3).permute(2, 0, 1)[None]


def test_the_nearest_training_picture_names_the_thing(judge):
    pictures = torch.cat([composed(judge, "white", (thing, 62, 0.5, 0.5)) for thing in (DOG, CAT)])
    rows = [{"emoji": ["1F436"]}, {"emoji": ["1F436"]}]
    assert recognised(judge, rows, pictures) == (["1F436", "1F431"], [True, False])


@pytest.mark.parametrize("colour", composition.BACKGROUNDS)
def test_a_background_is_read_off_the_edge_and_the_thing_off_the_rest(judge, colour):
    picture = composed(judge, composition.BACKGROUNDS[colour], (DOG, 60, 0.5, 0.5))
    other = "red" if colour != "red" else "blue"
    for thing, named, value in ((DOG, colour, [1, 1]), (CAT, colour, [1, 0]), (DOG, other, [0])):
        figures, hits = looks.backgrounds(judge, [Asked("", (thing,), (named,))], picture)
        assert [figure.value for figure in figures][: len(value)] == value and hits == [all(value)]


@pytest.mark.parametrize("above", [False, True])
def test_a_relation_needs_both_things_and_the_right_order(judge, above):
    first, second = ((0.5, 0.24), (0.52, 0.74)) if above else ((0.26, 0.5), (0.74, 0.47))
    picture = composed(judge, "white", (DOG, 31, *first), (TREE, 29, *second))
    look = looks.relations(above=above)
    for pair, expected in (((DOG, TREE), [1, 1]), ((TREE, DOG), [0, 1]), ((DOG, CAT), [1, 0]), ((CAT, DOG), [0, 0])):
        figures, hits = look(judge, [Asked("", pair)], picture)
        assert [figure.value for figure in figures] == expected and hits == [all(expected)], pair
    assert figures[1].chance == pytest.approx(2 / 25)


def test_one_thing_alone_or_nothing_is_no_pair(judge):
    for picture in (
        composed(judge, "white", (DOG, 31, 0.26, 0.5)),
        composed(judge, "white", (DOG, 62, 0.5, 0.5)),
        composed(judge, "white"),
    ):
        assert looks.relations(above=False)(judge, [Asked("", (DOG, TREE))], picture)[1] == [False]


@pytest.mark.parametrize("drawn", [1, 2, 3, 4])
def test_counts(judge, drawn):
    spots = [(62, 0.5, 0.5)] if drawn == 1 else [(29, *centre) for centre in composition.COUNT_CENTRES[drawn]]
    picture = composed(judge, "white", *((CAR, *spot) for spot in spots))
    assert [looks.counts(judge, [Asked("", (CAR,), count=n)], picture)[1] for n in (2, 3, 4)] == [[drawn == n] for n in (2, 3, 4)]


@pytest.mark.parametrize("name", composition.PLACES)
def test_places(judge, name):
    place = composition.PLACES[name]
    assert colours.nearest_places(composed(judge, "white", (CAT, 28, place.x, place.y))) == [name]


def test_hues_are_those_of_the_colourful_pixels():
    wheel = {"red": (220, 30, 30), "orange": (240, 140, 40), "green": (30, 160, 40), "blue": (40, 90, 220), "purple": (130, 40, 200)}
    for name, rgb in wheel.items():
        picture = torch.full((1, 3, 8, 8), 255, dtype=torch.uint8)
        picture[:, :, 2:6, 2:6] = torch.tensor(rgb, dtype=torch.uint8)[:, None, None]
        assert colours.main_hues(picture) == [name]
    assert colours.main_hues(torch.full((1, 3, 8, 8), 128, dtype=torch.uint8)) == [None]


@pytest.mark.parametrize(("parts", "cut"), [(("left", "right"), (32, 0, 64, 64)), (("top", "bottom"), (0, 32, 64, 64))])
def test_two_colours(judge, parts, cut):
    canvas = Image.new("RGB", (64, 64), composition.BACKGROUNDS["blue"])
    canvas.paste(composition.BACKGROUNDS["pink"], cut)
    picture = torch.frombuffer(bytearray(canvas.tobytes()), dtype=torch.uint8).view(64, 64, 3).permute(2, 0, 1)[None]
    look = looks.split_backgrounds(*parts)
    assert [look(judge, [Asked("", (DOG,), pair)], picture)[1] for pair in (("blue", "pink"), ("pink", "blue"))] == [[True], [False]]


def test_a_copy_is_found_among_all_training_pictures(judge):
    picture = judge.read(judge.rows[3])[None]
    noisy = (picture.float() + 10).clamp(max=255).to(torch.uint8)
    distances, names = nearest_training(judge, torch.cat([picture, noisy]))
    assert names == ["3.png", "3.png"] and distances[0] < 1e-3 < distances[1] < 10 / 255


def test_an_adjective_and_a_colour_are_both_looked_at(judge):
    big, small = composed(judge, "white", (CAR, 62, 0.5, 0.5)), composed(judge, "white", (CAR, 31, 0.5, 0.5))
    asked = [Asked("", (CAR,), ("red",), size="big"), Asked("", (CAR,), ("red",), size="small"), Asked("", (CAR,), ("red",))]
    for picture, expected in ((big, [True, False, True]), (small, [False, True, True])):
        assert descriptions.adjectives(judge, asked, picture.expand(3, -1, -1, -1))[1] == expected
    assert descriptions.adjectives(judge, [Asked("", (CAR,), ("blue",))], big)[1] == [False]
    assert colours.extents(composed(judge, "white")) == [0.0]


def test_a_coloured_thing_on_a_coloured_ground(judge):
    picture = composed(judge, composition.BACKGROUNDS["blue"], (CAR, 62, 0.5, 0.5))
    verdicts = [
        descriptions.coloured_on_colour(judge, [Asked("", (CAR,), pair)], picture)[1]
        for pair in (("red", "blue"), ("green", "blue"), ("red", "pink"))
    ]
    assert verdicts == [[True], [False], [False]]


def test_two_things_keep_their_colours(judge):
    picture = composed(judge, "white", (CAR, 31, 0.26, 0.5), (TREE, 31, 0.74, 0.5))
    pairs = (("red", "green"), ("green", "red"))
    assert [descriptions.two_coloured(judge, [Asked("", (CAR, TREE), pair)], picture)[1] for pair in pairs] == [[True], [False]]


@pytest.mark.parametrize("relation", list(composition.RELATIONS))
def test_a_thing_and_its_furniture_are_both_looked_at(judge, relation):
    thing = judge.wardrobe.cut_out(judge.wardrobe.of("1F436")[0], composition.HALF)
    canvas = furnishing.painted_over(relation, 3, thing)
    picture = torch.frombuffer(bytearray(canvas.tobytes()), dtype=torch.uint8).view(64, 64, 3).permute(2, 0, 1)[None]
    for other in composition.RELATIONS:
        figures, hits = furnishing.furnishings(judge, [Asked("", (DOG,), place=other)], picture)
        assert figures[1].value == (other == relation) and (hits == [True] or other != relation)
    assert furnishing.furnishings(judge, [Asked("", (TREE,), place=relation)], picture)[1] == [False]
    assert furnishing.nearest_furniture(composed(judge, "white", (DOG, 62, 0.5, 0.5))[0]) == ""


def test_looks_are_groups_whose_members_are_all_alike():
    base = torch.eye(4)
    near = torch.nn.functional.normalize(base[0] + 0.05 * base[3], dim=0)
    assert diversity.looks_of(torch.stack([base[0], near, base[1], base[2]]), 0.95) == 3
    assert diversity.looks_of(base[:1].expand(8, -1), 0.95) == 1
    chain = [torch.tensor([math.cos(angle), math.sin(angle)]) for angle in (0.0, 0.25, 0.5)]  # neighbours alike, ends not
    assert diversity.looks_of(torch.stack(chain), 0.95) == 2


def test_one_look_is_a_drawing_and_itself_a_little_turned(judge):
    one_look = diversity.cosine_of_one_look(judge)
    assert 0 < one_look < 0.9999
    same, other = (judge.scorer.embed_pictures(as_pillow(composed(judge, "white", (thing, 62, 0.5, 0.5)))) for thing in (DOG, TREE))
    assert (same @ other.T).item() < one_look


def test_the_table_says_what_was_missed():
    figures = [Figure(name="a", value=0.9, cases=10, bound=0.95, chance=0.1), Figure(name="b", value=0.1, cases=5, bound=0.2, at_most=True)]
    lines = table([*figures, Figure(name="c", value=24.5, unit="dB", cases=3)]).splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["missed", "met", "3"]
    assert "90.0 %" in lines[1] and "<= 20.0 %" in lines[2] and "24.5 dB" in lines[3]


def test_a_fingerprint_is_the_mean_of_each_block():
    picture = torch.arange(12288, dtype=torch.int32).remainder(256).to(torch.uint8).view(1, 3, 64, 64)
    assert fingerprint(picture).shape == (1, 3072)
    assert fingerprint(picture)[0, 0].item() == pytest.approx(picture[0, 0, :2, :2].float().mean().item() / 255)
