"""The language of composed pictures: backgrounds, places, relations, counts and colours, and which combinations are kept back.

A *noun* is the main phrase of an emoji without its article ("dog"). Knows no pictures and no files.
"""

import hashlib
from dataclasses import dataclass

BACKGROUNDS = {
    "white": (255, 255, 255),
    "black": (24, 24, 28),
    "gray": (150, 152, 158),
    "red": (212, 48, 46),
    "orange": (242, 142, 48),
    "yellow": (250, 216, 84),
    "green": (78, 172, 84),
    "blue": (58, 118, 214),
    "purple": (138, 86, 186),
    "pink": (246, 168, 200),
}
"""RGB. White is what a caption without a background means."""

ON_BACKGROUND = ("{thing} on {a_colour} background", "{thing} with {a_colour} background", "{thing}, {colour} background")
"""a_colour: with its article."""
BESIDE_SPLIT = ("{thing} on {a_first} and {second} background", "{thing} on a background half {first}, half {second}")
STACKED_SPLIT = ("{thing} on {a_first} background above {second}", "{thing} on a background {first} at the top and {second} at the bottom")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a small object lies: its centre, in shares of the side, and how captions call it."""

    x: float
    y: float
    names: tuple[str, ...]


PLACES = {
    "top left": Place(0.25, 0.25, ("in the top left corner", "at the top left", "in the upper left corner")),
    "top": Place(0.5, 0.25, ("at the top", "in the top half")),
    "top right": Place(0.75, 0.25, ("in the top right corner", "at the top right", "in the upper right corner")),
    "left": Place(0.25, 0.5, ("on the left", "on the left side")),
    "middle": Place(0.5, 0.5, ("in the middle", "in the center")),
    "right": Place(0.75, 0.5, ("on the right", "on the right side")),
    "bottom left": Place(0.25, 0.75, ("in the bottom left corner", "at the bottom left", "in the lower left corner")),
    "bottom": Place(0.5, 0.75, ("at the bottom", "in the bottom half")),
    "bottom right": Place(0.75, 0.75, ("in the bottom right corner", "at the bottom right", "in the lower right corner")),
}
HALF = 32
"""Side of a small object, and of each of two or three in one picture, pixels of 64."""

BESIDE = ("{first} to the left of {second}", "{first} left of {second}", "{second} to the right of {first}", "{second} right of {first}")
"""first is on the left."""
ABOVE = ("{first} above {second}", "{first} over {second}", "{second} below {first}", "{second} under {first}")
"""first is above."""
UNORDERED = ("{first} and {second}", "{first} next to {second}", "{first} with {second}", "{first} beside {second}")
"""Said of pictures with the first on the left."""

COUNTS = {
    2: ("two {things}", "2 {things}", "a pair of {things}"),
    3: ("three {things}", "3 {things}"),
    4: ("four {things}", "4 {things}"),
}
COUNT_CENTRES = {
    2: ((0.25, 0.5), (0.75, 0.5)),
    3: ((0.5, 0.25), (0.25, 0.75), (0.75, 0.75)),
    4: ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)),
}

SIZES = {"big": ("big", "large", "huge", "giant"), "small": ("small", "little", "tiny")}
"""How captions call a thing as large as the picture, and one of HALF."""
LOOKS = ("cute", "nice", "old", "new", "shiny", "pretty", "beautiful", "lovely", "funny", "cool")
"""Adjectives that change nothing in these pictures."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A thing and a piece of furniture. centre: of the thing (HALF), in shares of the side; frames: how captions say it."""

    furniture: str
    centre: tuple[float, float]
    frames: tuple[str, ...]


RELATIONS = {
    "in a box": Relation("box", (0.5, 0.5), ("{thing} in {a_box}", "{thing} inside {a_box}", "{a_box} with {thing} in it")),
    "in a basket": Relation("basket", (0.5, 0.5), ("{thing} in {a_box}", "{thing} inside {a_box}", "{a_box} with {thing} in it")),
    "on a table": Relation("table", (0.5, 0.25), ("{thing} on {a_box}", "{thing} on top of {a_box}", "{a_box} with {thing} on it")),
    "under a table": Relation("table", (0.5, 0.75), ("{thing} under {a_box}", "{thing} below {a_box}", "{a_box} with {thing} under it")),
}
"""a_box: the furniture with its article, and its colour where that is said."""

HUES = {"red": 0, "orange": 28, "yellow": 50, "green": 125, "blue": 214, "purple": 275, "pink": 330}
"""Degrees on the colour wheel that a recoloured object gets."""
RECOLOURED = frozenset(
    """
car|heart|balloon|umbrella|t-shirt|dress|guitar|backpack|handbag|cap|hat|boot|shoe|sneaker|gloves|scarf|socks|coat|book|books|key|bus|truck|taxi
tractor|scooter|bicycle|helicopter|airplane|rocket|sailboat|speedboat|kite|star|butterfly|fish|bird|parrot|dinosaur|dragon|snake|frog|octopus
crab|rose|tulip|flower|apple|pear|mushroom|candle|lollipop|donut|cupcake|chair|door|telephone|crayon|pencil|ribbon|gift|ring|purse|swimsuit|jeans
toolbox|bucket|soap|toothbrush|sponge|teapot|jellyfish|snail|turtle|ladybug|crown|bell|tent|house|suitcase|lock|magnet|drum
""".replace("\n", "|")
    .strip("|")
    .split("|")
)
"""Nouns of things that come in many colours."""
TINTED = frozenset(
    """
envelope|love letter|sheet of paper|notepad|clipboard|speech bubble|thought bubble|toilet paper|cup of coffee|cup of tea|jar|candle
bathtub|toilet|trash can|piano|radio|keyboard|computer mouse|wall clock|stopwatch|timer|flashlight|microscope|office building|minibus
ring|safety pin
""".replace("\n", "|")
    .strip("|")
    .split("|")
)
"""The same of things that are drawn pale; a picture of one alone may be tinted, and no caption says so."""
KEPT_BACK = 6
"""One combination in so many never occurs in the data set."""


def kept_back(kind: str, *parts: str) -> bool:
    """Whether a combination is held out, whatever the order of its parts.

    kind: "background" (noun, colour), "pair" (noun, noun), "colour" (noun, colour), "adjective" (noun, colour: never with an adjective
    before the colour) or "relation" (noun, relation).
    """
    text = ":".join([kind, *sorted(parts)])
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % KEPT_BACK == 0


def plural(noun: str) -> str:
    """ "dog" -> "dogs", "box of x" -> "boxes of x"; what is plural already stays."""
    for preposition in (" with ", " of ", " in ", " on "):
        if preposition in noun:
            head, rest = noun.split(preposition, 1)
            return f"{plural(head)}{preposition}{rest}"
    irregular = {"mouse": "mice", "goose": "geese", "sheep": "sheep", "fish": "fish", "deer": "deer", "bison": "bison", "ox": "oxen"}
    irregular |= {
        "person": "people",
        "man": "men",
        "woman": "women",
        "child": "children",
        "tooth": "teeth",
        "foot": "feet",
        "wolf": "wolves",
    }
    irregular |= {"leaf": "leaves", "knife": "knives", "loaf": "loaves", "scarf": "scarves"}
    *before, last = noun.split()
    if last in irregular:
        last = irregular[last]
    elif last.endswith(("s", "x", "ch", "sh", "z")):
        last += "es"
    elif last.endswith("y") and last[-2:-1] not in "aeiou":
        last = last[:-1] + "ies"
    elif last in ("potato", "tomato", "volcano", "mango", "buffalo", "mosquito"):
        last += "es"
    else:
        last += "s"
    return " ".join([*before, last])
