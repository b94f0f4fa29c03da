"""How one drawing is varied without making what is said of it untrue: mirrored, turned a little, smaller, moved, in another colour."""

import random
from dataclasses import dataclass

from composition import BACKGROUNDS, HUES, RECOLOURED, TINTED, kept_back
from sources import Emoji

ONE_WAY_CATEGORIES = {"Symbols", "Flags"}
ONE_WAY_SUBCATEGORIES = set(
    """
emotion|hand-single-finger|place-map|place-building|time|award-medal|game|sound|music|phone|computer|book-paper|money|mail|office|hotel|medical
""".strip().split("|")
)
"""They hold letters, digits, notes, clock faces or maps, or point somewhere."""
TWO_WAY_NAMES = set(
    """
heart suit|diamond suit|spade suit|club suit|kite|teddy bear|yo-yo|crystal ball|house|house with garden|houses|castle|hut
rock|wood|bell|megaphone|books|open book|red circle|telephone|battery|pill|syringe|stethoscope|luggage|bomb|paperclip
scissors|basket|laptop|computer mouse
""".replace("\n", "|")
    .strip("|")
    .split("|")
)
"""Of these subcategories, still the same thing in a mirror."""
ONE_WAY_NAMES = set(
    """
money-mouth face|sleeping face|sleepy face|nerd face|face with symbols on mouth|zzz|hundred points|bus|oncoming bus|minibus
trolleybus|ambulance|fire engine|police car|oncoming police car|taxi|oncoming taxi|racing car|bus stop|fuel pump|stop sign
barber pole|first quarter moon|crescent moon|first quarter moon face|salt|honey pot|canned food|sake|lotion bottle
baby bottle|admission tickets|ticket|running shirt|compass|delivery truck|articulated lorry|airplane departure
airplane arrival|tokyo tower|statue of liberty|tennis|cricket game|joker|red envelope|martial arts uniform|dna|spiral shell
snail|cyclone|tornado|oil drum|mountain cableway|safety vest|lab coat|clapper board|videocassette|x-ray
magnifying glass tilted left|magnifying glass tilted right|person in tuxedo|musical keyboard|beverage box|chocolate bar
milky way|folded hands|vertical traffic light|christmas tree|ear|ear with hearing aid|leg|foot|mechanical arm|mechanical leg
nazar amulet|military medal|ok hand|love-you gesture|cigarette|superhero|supervillain|headstone|toolbox|fire extinguisher
""".replace("\n", "|")
    .strip("|")
    .split("|")
)
"""Letters, digits or a side that matters, in other subcategories."""

COLOUR_WORDS = frozenset([*HUES, *BACKGROUNDS, "brown", "golden", "grey", "colourful", "rainbow"])
TURN, SMALLEST, AWAY = 8, 0.88, 2
"""Degrees either way, share of the side, pixels either way. Little: what a caption leaves open is blurred until it is learned, and the
looks of a thing differ enough by its sets."""
HUES_EACH = 2
"""Colours that a drawing of a thing that comes in colours is shown in beside its own, unsaid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Variation:
    """mirrored: left and right; turn: degrees; scale: share of the side; right, down: pixels; colour: of HUES, None for its own."""

    mirrored: bool = False
    turn: float = 0.0
    scale: float = 1.0
    right: int = 0
    down: int = 0
    colour: str | None = None

    def __str__(self) -> str:
        return f"{self.mirrored:d} {self.turn:.1f} {self.scale:.3f} {self.right} {self.down} {self.colour}"


def may_be_mirrored(emoji: Emoji) -> bool:
    """Whether its picture shows in a mirror what its name says: no letters, digits, clock faces, maps, and nothing that points."""
    words = set(emoji.name.replace("-", " ").split())
    if emoji.name in ONE_WAY_NAMES or words & {"left", "right", "leftwards", "rightwards", "clockwise", "clock", "watch", "chart"}:
        return False
    if emoji.name in TWO_WAY_NAMES:
        return True
    return emoji.category not in ONE_WAY_CATEGORIES and emoji.subcategory not in ONE_WAY_SUBCATEGORIES


def is_mirrored(emoji: Emoji, number: int) -> bool:
    """Whether the set of this number (its place in sources.SETS) shows it in a mirror, wherever it shows it large.

    What may be mirrored looks one way in one set and the other way in the next: a thing is seen from both sides, each drawing from one.
    With both sides of every drawing the model drew things that were half of each, symmetrical.
    """
    return may_be_mirrored(emoji) and random.Random(f"side {emoji.code}").randrange(2) != number % 2


def may_be_turned(emoji: Emoji) -> bool:
    """Whether it is still that when it leans a little: not what points up or down, nor a sign or a building."""
    words = set(emoji.name.split())
    return (
        emoji.category != "Symbols" and not emoji.subcategory.startswith("place-") and not words & {"up", "down", "left", "right", "tilted"}
    )


def is_free_of_colours(phrase: str) -> bool:
    """Whether it names no colour."""
    return not set(phrase.replace("-", " ").split()) & COLOUR_WORDS


def free_hues(emoji: Emoji, noun: str) -> list[str]:
    """Colours that a picture of the thing may have when none is said, those never shown together left out."""
    if noun not in RECOLOURED | TINTED or not is_free_of_colours(emoji.name):
        return []
    return [colour for colour in HUES if not kept_back("colour", noun, colour)]


def variations(emoji: Emoji, drawn_in: str, noun: str, number: int) -> list[Variation]:
    """Of one drawing, itself first; the same name gives the same. drawn_in: the folder of its set; number: of that set."""
    mirrored = is_mirrored(emoji, number)
    rng = random.Random(f"vary {emoji.code} {drawn_in}")
    moved = Variation(
        mirrored=mirrored,
        turn=rng.uniform(-TURN, TURN) if may_be_turned(emoji) else 0.0,
        scale=rng.uniform(SMALLEST, 0.95),
        right=rng.randint(-AWAY, AWAY),
        down=rng.randint(-AWAY, AWAY),
    )
    hues = free_hues(emoji, noun)
    painted = [Variation(mirrored=mirrored, colour=hue) for hue in rng.sample(hues, min(HUES_EACH, len(hues)))]
    return [Variation(mirrored=mirrored), moved, *painted]
