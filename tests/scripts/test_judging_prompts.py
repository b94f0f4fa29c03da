"""What the bundled model is asked: fixed before it was trained, and of combinations that no caption has."""

import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bundle"))

import composition  # noqa: E402
import lists  # noqa: E402
from judging import asked as ask  # noqa: E402
from judging.things import Thing  # noqa: E402


def test_prompts_are_fixed_and_of_held_out_combinations():
    things = [Thing(row["prompt"], row["prompt"].split(" ", 1)[-1], tuple(row["emoji"])) for row in lists.read_concepts()]
    backgrounds, pairs, hues = ask.on_backgrounds(things), ask.in_relation(things, above=True), ask.recoloured(things)
    assert all(composition.kept_back("background", one.things[0].noun, one.colours[0]) for one in backgrounds)
    assert all(composition.kept_back("pair", *(thing.noun for thing in one.things)) for one in pairs)
    assert all(composition.kept_back("colour", one.things[0].noun, one.colours[0]) for one in hues)
    assert len(backgrounds) == 90 and len(pairs) == 60 and len(ask.counted(things)) == 60 and len(ask.placed(things)) == 45
    assert ask.in_relation(things, above=True) == pairs and ask.in_relation(things, above=False) != pairs
    assert not [one.prompt for one in backgrounds + hues if " a orange" in one.prompt or one.prompt.startswith("a orange")]


def test_prompts_of_descriptions_and_relations_are_of_combinations_that_no_caption_has():
    things = [Thing(row["prompt"], row["prompt"].split(" ", 1)[-1], tuple(row["emoji"])) for row in lists.read_concepts()]
    described, furnished = ask.described(things), ask.furnished(things)
    assert len(described) == 60 == len(furnished) and len(ask.two_coloured(things)) == 40 == len(ask.coloured_on_colour(things))
    assert all(composition.kept_back("adjective", one.things[0].noun, one.colours[0]) for one in described)
    assert all(composition.kept_back("relation", one.things[0].noun, one.place) for one in furnished)
    for one in described:
        words = one.prompt.split()
        assert words[-2] == one.colours[0] and (words[-3] in composition.SIZES.get(one.size, composition.LOOKS))
    for one in ask.coloured_on_colour(things):
        assert one.colours[0] != one.colours[1] and all(colour in one.prompt for colour in one.colours)
    every = [one.prompt for asked in (described, furnished, ask.two_coloured(things), ask.coloured_on_colour(things)) for one in asked]
    # Another digest: other prompts than those that were fixed before the model of this edition was trained.
    assert hashlib.sha256("\n".join(every).encode()).hexdigest()[:16] == "dd94e14a95db9846"
