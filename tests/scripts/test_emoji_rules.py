"""What may be said of an emoji and how its drawing may be varied: rules that need no pictures."""

import sys
from collections import Counter
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts" / "bundle"
sys.path.insert(0, str(SCRIPTS))

import captions  # noqa: E402
import selection  # noqa: E402
import singles  # noqa: E402
import sources  # noqa: E402
import variations  # noqa: E402


@pytest.mark.parametrize(
    ("code", "variant"),
    [
        ("1F44B-1F3FD", True),
        ("1F468-200D-1F373", True),
        ("1F3C3-200D-2642", True),
        ("1F9D1-200D-1F373", False),
        ("1F43B-200D-2744", False),
        ("1F436", False),
    ],
)
def test_skin_and_gender_variants_are_known(code, variant):
    assert selection.is_variant(code) is variant


@pytest.mark.parametrize(
    ("noun", "phrase"),
    [
        ("dog", "a dog"),
        ("apple", "an apple"),
        ("grapes", "grapes"),
        ("fire", "fire"),
        ("unicorn", "a unicorn"),
        ("x-ray", "an x-ray"),
        ("cactus", "a cactus"),
        ("hourglass", "an hourglass"),
        ("bag of chips", "a bag of chips"),
        ("octopus", "an octopus"),
        ("glass of milk", "a glass of milk"),
        ("umbrella with rain drops", "an umbrella with rain drops"),
    ],
)
def test_articles(noun, phrase):
    assert captions.with_article(noun) == phrase


def emoji_of(name: str, category: str = "Objects", subcategory: str = "tool") -> sources.Emoji:
    return sources.Emoji(code=name, image="", name=name, category=category, subcategory=subcategory, keywords=((), ()))


@pytest.mark.parametrize(
    ("emoji", "mirrored"),
    [
        (emoji_of("dog", "Animals & Nature", "animal-mammal"), True),
        (emoji_of("hammer"), True),
        (emoji_of("backhand index pointing left", "People & Body", "hand-single-finger"), False),
        (emoji_of("three o'clock", "Travel & Places", "time"), False),
        (emoji_of("stop sign", "Travel & Places", "transport-ground"), False),
        (emoji_of("France", "Flags", "country-flag"), False),
        (emoji_of("musical note", "Objects", "music"), False),
        (emoji_of("calendar", "Objects", "office"), False),
        (emoji_of("world map", "Travel & Places", "place-map"), False),
        (emoji_of("check mark", "Symbols", "other-symbol"), False),
        (emoji_of("teddy bear", "Activities", "game"), True),
    ],
)
def test_only_what_is_the_same_in_a_mirror_is_mirrored(emoji, mirrored):
    assert variations.may_be_mirrored(emoji) is mirrored
    sets = [variations.variations(emoji, "set", emoji.name, number) for number in range(4)]
    ways = [{one.mirrored for one in varied} for varied in sets]
    assert all(varied[0] == variations.Variation(mirrored=varied[0].mirrored) for varied in sets)
    assert ways == ([ways[0], ways[1]] * 2) and all(len(way) == 1 for way in ways), "each set shows it from one side"
    assert (ways[0] != ways[1]) is mirrored, "and the next from the other"
    assert sets[0] == variations.variations(emoji, "set", emoji.name, 0)


def test_a_thing_in_another_colour_is_not_called_by_its_own_nor_one_that_is_named_painted():
    assert variations.free_hues(emoji_of("green apple"), "apple") == [] == variations.free_hues(emoji_of("rock"), "rock")
    assert variations.free_hues(emoji_of("envelope"), "envelope"), "paper comes in colours, although it is drawn white"
    hues = variations.free_hues(emoji_of("automobile"), "car")
    assert hues and not any(variations.kept_back("colour", "car", hue) for hue in hues)
    painted = singles.Picture(
        emoji=emoji_of("automobile"), drawings=sources.SETS[0], path=Path("car.png"), variation=variations.Variation(colour="blue"), turn=0
    )
    said = singles.single_captions(painted, {"automobile": ["a red car", "a car"]}, Counter())
    assert said and not any("red" in line.split() for line in said)


def test_what_points_up_or_is_built_stands_upright():
    assert variations.may_be_turned(emoji_of("hammer"))
    upright = [emoji_of("backhand index pointing up"), emoji_of("church", "Travel & Places", "place-religious")]
    assert not any(variations.may_be_turned(emoji) for emoji in upright)


def test_a_phrase_is_left_to_the_emoji_of_that_name_else_to_the_first():
    def emoji(name):
        return sources.Emoji(code=name, image="", name=name, category="", subcategory="animal-mammal", keywords=((), ()))

    said = captions.everyday_words([emoji("dog face"), emoji("dog"), emoji("red apple"), emoji("green apple")])
    assert "a dog" in said["dog"] and "a dog" not in said["dog face"] and "a dog face" in said["dog face"]
    assert "an apple" in said["red apple"] and "an apple" not in said["green apple"] and said["green apple"]
