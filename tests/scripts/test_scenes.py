"""Composed pictures: what is said of them is what is drawn, and held-out combinations stay out."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPTS = Path(__file__).parents[2] / "scripts" / "bundle"
sys.path.insert(0, str(SCRIPTS))

import composition  # noqa: E402
import scene_plan  # noqa: E402
import scenes  # noqa: E402
from sources import STYLES, Emoji  # noqa: E402

PAINT = {"dog": (160, 100, 50), "car": (220, 30, 40), "kite": (30, 60, 220), "pizza": (240, 200, 60), "drum": (200, 60, 160)}


@pytest.fixture(scope="module")
def things(tmp_path_factory) -> list[scene_plan.Thing]:
    """Discs of one colour each."""
    folder, found = tmp_path_factory.mktemp("emoji"), []
    for number, (noun, colour) in enumerate(PAINT.items()):
        y, x = np.mgrid[-1:1:64j, -1:1:64j]
        disc = np.zeros((64, 64, 4), np.uint8)
        disc[x**2 + y**2 < 0.8] = (*colour, 255)
        Image.fromarray(disc).save(folder / f"{noun}.png")
        emoji = Emoji(code=f"{number}", image=noun, name=noun, category="Objects", subcategory="thing", keywords=((), ()))
        found.append(scene_plan.Thing(emoji, noun, (f"a {noun}",), (folder / f"{noun}.png",) * len(STYLES)))
    return found


def planned(things: list[scene_plan.Thing], kind: str, number: int = 300) -> list[scenes.Scene]:
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
            where = [caption.index(nouns[one.emoji.code]) for one in scene.objects]
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


def test_a_picture_that_hides_its_rim_stands_smaller(tmp_path):
    whole = np.full((64, 64, 4), 255, np.uint8)
    Image.fromarray(whole).save(tmp_path / "whole.png")
    whole[:4] = whole[-4:] = 0
    whole[:, :2] = 0
    Image.fromarray(whole).save(tmp_path / "framed.png")
    assert scenes.fills_its_square(tmp_path / "whole.png") and not scenes.fills_its_square(tmp_path / "framed.png")


def test_counts(things):
    for scene in planned(things, "count", 40):
        words = {2: ("two ", "2 ", "a pair of "), 3: ("three ", "3 ")}[len(scene.objects)]
        assert all(any(word in text for word in words) for text in scene.captions)


@pytest.mark.parametrize("colour", list(composition.HUES))
def test_painting_turns_the_main_hue_and_keeps_the_shape(things, colour):
    source = scenes.read_source(things[1].paths[0])
    painted = scenes.recoloured(source, colour)
    assert painted.getchannel("A").tobytes() == source.getchannel("A").tobytes()
    hue = painted.convert("RGB").convert("HSV").getpixel((32, 32))[0] * 360 / 256
    assert min(abs(hue - composition.HUES[colour]), 360 - abs(hue - composition.HUES[colour])) < 8


@pytest.mark.parametrize(
    ("noun", "plural"),
    [("dog", "dogs"), ("box", "boxes"), ("cherry", "cherries"), ("mouse", "mice"), ("slice of pizza", "slices of pizza"), ("key", "keys")],
)
def test_plurals(noun, plural):
    assert composition.plural(noun) == plural
