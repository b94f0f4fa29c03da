"""Composed pictures: what is said of them is what is drawn, and held-out combinations stay out."""

import dataclasses
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPTS = Path(__file__).parents[2] / "scripts" / "bundle"
sys.path.insert(0, str(SCRIPTS))

import composition  # noqa: E402
import scene_plan  # noqa: E402
import scene_words  # noqa: E402
import scenes  # noqa: E402
from sources import SETS, STYLES, Emoji  # noqa: E402
from variations import is_mirrored  # noqa: E402

PAINT = {"dog": (160, 100, 50), "car": (220, 30, 40), "kite": (30, 60, 220), "pizza": (240, 200, 60), "drum": (200, 60, 160)}


@pytest.fixture(scope="module")
def things(tmp_path_factory) -> list[scene_words.Thing]:
    """Discs of one colour each."""
    folder, found = tmp_path_factory.mktemp("emoji"), []
    for number, (noun, colour) in enumerate(PAINT.items()):
        y, x = np.mgrid[-1:1:64j, -1:1:64j]
        disc = np.zeros((64, 64, 4), np.uint8)
        disc[x**2 + y**2 < 0.8] = (*colour, 255)
        Image.fromarray(disc).save(folder / f"{noun}.png")
        emoji = Emoji(code=f"{number}", image=noun, name=noun, category="Objects", subcategory="thing", keywords=((), ()))
        found.append(scene_words.Thing(emoji, noun, (f"a {noun}",), (folder / f"{noun}.png",) * len(SETS)))
    return found


def planned(things: list[scene_words.Thing], kind: str, number: int = 300) -> list[scenes.Scene]:
    return list(scene_plan.plan_scenes(things, {kind: number}))


def test_the_same_numbers_give_the_same_scenes(things):
    assert planned(things, "pair", 50) == planned(things, "pair", 50)


@pytest.mark.parametrize("kind", list(scene_plan.KINDS))
def test_held_out_combinations_never_occur(things, kind):
    nouns = {thing.emoji.code: thing.noun for thing in things}
    for scene in planned(things, kind):
        shown = [nouns[one.emoji.code] for one in scene.objects]
        assert not any(composition.kept_back("background", noun, colour) for noun in shown for colour in scene.background)
        assert not any(
            one.colour and composition.kept_back("colour", noun, one.colour) for noun, one in zip(shown, scene.objects, strict=True)
        )
        assert kind != "pair" or not composition.kept_back("pair", *shown)
        assert len(set(scene.captions)) == len(scene.captions) > 0


def test_what_is_held_out_is_held_out_in_any_order_and_is_about_a_sixth():
    assert composition.kept_back("pair", "dog", "car") == composition.kept_back("pair", "car", "dog")
    pairs = [composition.kept_back("pair", str(a), str(b)) for a in range(60) for b in range(a)]
    assert sum(pairs) / len(pairs) == pytest.approx(1 / composition.KEPT_BACK, abs=0.03)


def test_a_relation_in_words_is_the_relation_on_the_canvas(things):
    nouns = {thing.emoji.code: thing.noun for thing in things}
    told = 0
    for scene in planned(things, "pair"):
        first, second = scene.objects
        for caption in scene.captions:
            where = [re.search(rf"\b{nouns[one.emoji.code]}\b", caption).start() for one in scene.objects]
            first_said_first = where[0] < where[1]
            if " left of " in caption or " right of " in caption:
                assert first.x < second.x and first_said_first == (" left of " in caption)
            elif any(word in caption for word in (" above ", " over ", " below ", " under ")):
                assert first.y < second.y and first_said_first == (" above " in caption or " over " in caption)
            else:
                continue
            told += 1
    assert told > 200


def test_backgrounds_and_places_are_drawn_as_named(things):
    for scene in planned(things, "background", 40):
        assert scenes.draw_scene(scene).getpixel((0, 0)) == composition.BACKGROUNDS[scene.background[0]]
        assert scene.background == ("white",) or all(f"{scene.background[0]} background" in text for text in scene.captions)
    for scene in planned(things, "split", 40):
        canvas = scenes.draw_scene(scene)
        other = (0, 63) if scene.stacked else (63, 0)
        assert [canvas.getpixel(at) for at in ((0, 0), other)] == [composition.BACKGROUNDS[name] for name in scene.background]
    for scene in planned(things, "placed", 60):
        pixels = np.asarray(scenes.draw_scene(scene)).astype(int)
        ground = pixels[0 if scene.objects[0].y >= 32 else 63, 0 if scene.objects[0].x >= 32 else 63]
        rows, columns = np.nonzero(np.abs(pixels - ground).sum(-1) > 12)
        assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((scene.objects[0].x, scene.objects[0].y), abs=1.5)


def test_objects_lie_on_the_grid_of_the_half_size_latents(things):
    for kind in scene_plan.KINDS:
        for one in (one for scene in planned(things, kind, 40) for one in scene.objects):
            assert (one.x - one.side / 2) % 16 == (one.y - one.side / 2) % 16 == 0


def test_small_things_are_as_the_first_set_draws_them(things):
    for kind in scene_plan.KINDS:
        drawn = planned(things, kind, 60)
        assert len({scene.style for scene in drawn}) == (1 if kind in scene_plan.OF_SMALL_THINGS else len({one.style for one in SETS}))
        small = [one for scene in drawn for one in scene.objects if one.side == composition.HALF]
        assert bool(small) == (kind in scene_plan.OF_SMALL_THINGS) and not any(one.mirrored for one in small)


def test_large_things_are_seen_from_the_side_from_which_their_set_shows_them_alone(things):
    one_of_each_style = SETS[: len(STYLES)]
    number = {drawings.style: place for place, drawings in enumerate(one_of_each_style)}
    drawn = planned([dataclasses.replace(thing, paths=thing.paths[: len(STYLES)]) for thing in things], "background", 100)
    sides = [scene.objects[0].mirrored for scene in drawn]
    assert sides == [is_mirrored(scene.objects[0].emoji, number[scene.style]) for scene in drawn] and set(sides) == {True, False}


def test_a_picture_that_hides_its_rim_stands_smaller(tmp_path):
    whole = np.full((64, 64, 4), 255, np.uint8)
    Image.fromarray(whole).save(tmp_path / "whole.png")
    whole[:4] = whole[-4:] = 0
    whole[:, :2] = 0
    Image.fromarray(whole).save(tmp_path / "framed.png")
    assert scenes.fills_its_square(tmp_path / "whole.png") and not scenes.fills_its_square(tmp_path / "framed.png")


def test_counts(things):
    for scene in planned(things, "count", 40):
        words = {2: ("two ", "2 ", "a pair of "), 3: ("three ", "3 "), 4: ("four ", "4 ")}[len(scene.objects)]
        assert all(any(word in text for word in words) for text in scene.captions)
        assert len({(one.x, one.y) for one in scene.objects}) == len(scene.objects)


def test_a_size_in_words_is_the_size_on_the_canvas(things):
    small = {word for word in composition.SIZES["small"]}
    big = {word for word in composition.SIZES["big"]}
    for scene in planned(things, "sized", 100) + planned(things, "described", 100):
        said = [set(text.replace(",", "").split()) for text in scene.captions]
        assert not any(words & small and words & big for words in said)
        assert all(not words & big for words in said) if scene.objects[0].side == composition.HALF else all(not w & small for w in said)
        assert scene.kind == "described" or all(words & (small | big) for words in said)


def test_an_adjective_comes_before_the_colour_and_never_with_a_held_out_pair(things):
    nouns = {thing.emoji.code: thing.noun for thing in things}
    adjectives = {*composition.LOOKS, *composition.SIZES["big"], *composition.SIZES["small"]}
    for scene in planned(things, "described", 100):
        (one,) = scene.objects
        noun = nouns[one.emoji.code]
        assert not composition.kept_back("adjective", noun, one.colour) and one.colour not in scene.background
        for text in scene.captions:
            words = text.replace(",", "").split()
            at = words.index(noun)
            assert words[at - 1] == one.colour and words[at - 2] in adjectives


@pytest.mark.parametrize("relation", list(composition.RELATIONS))
def test_furniture_is_drawn_where_captions_say_it(things, relation):
    furniture, preposition = composition.RELATIONS[relation].furniture, relation.split()[0]
    scenes_of = [scene for scene in planned(things, "relation") if scene.relation[0] == relation]
    assert len(scenes_of) > 40
    nouns = {thing.emoji.code: thing.noun for thing in things}
    for scene in scenes_of[:20]:
        (one,) = scene.objects
        assert not composition.kept_back("relation", nouns[one.emoji.code], relation)
        assert all(furniture in text for text in scene.captions)
        assert all((f" {scene.furniture_colour} {furniture}" in f" {text}") for text in scene.captions if scene.furniture_colour)
        assert scene.furniture_colour != scene.background[0]
        with_it, without = (np.asarray(scenes.draw_scene(each)).astype(int) for each in (scene, dataclasses.replace(scene, relation=None)))
        rows = np.nonzero(np.abs(with_it - without).sum(-1) > 12)[0]
        if preposition == "on":
            assert rows.min() >= one.y + one.side / 2 - 1
        elif preposition == "under":
            assert rows.min() < one.y - one.side / 4
        else:
            assert rows.max() > one.y + one.side / 4 and rows.min() < one.y + one.side / 2


@pytest.mark.parametrize(
    ("noun", "plural"),
    [("dog", "dogs"), ("box", "boxes"), ("cherry", "cherries"), ("mouse", "mice"), ("slice of pizza", "slices of pizza"), ("key", "keys")],
)
def test_plurals(noun, plural):
    assert composition.plural(noun) == plural
