"""Which emoji belong in the data set: those that draw a thing. Knows no files."""

from sources import Emoji

LEFT_OUT_CATEGORIES = {"Flags", "Component"}
LEFT_OUT_SUBCATEGORIES = {"family", "alphanum", "arrow", "av-symbol", "keycap", "gender", "transport-sign", "time", "math", "punctuation"}
LEFT_OUT_SUBCATEGORIES |= {"geometric", "other-symbol", "currency", "country-flag", "subdivision-flag", "flag", "skin-tone"}

# Names worth keeping out of the subcategories above: they draw something, the rest of their row are buttons and signs of the keyboard.
KEPT_NAMES = set(
    """
wheelchair symbol|baby symbol|restroom|hourglass done|hourglass not done|watch|alarm clock|stopwatch|timer clock|mantelpiece clock
three o'clock|plus|infinity|red question mark|red exclamation mark|heavy dollar sign|medical symbol|recycling symbol
fleur-de-lis|trident emblem|name badge|check mark button|check mark|cross mark|hollow red circle|splatter
red circle|orange circle|yellow circle|green circle|blue circle|purple circle|brown circle|black circle
red square|orange square|yellow square|green square|blue square|purple square|brown square|black large square
large orange diamond|large blue diamond|red triangle pointed up|red triangle pointed down
""".strip()
    .replace("\n", "|")
    .split("|")
)

# Rude, or near copies of a neighbour, or unreadable at 64 pixels, or signs nobody would ask a picture model for.
LEFT_OUT_NAMES = set(
    """
place of worship|middle finger|mx claus|person kneeling|people with bunny ears|rightwards hand|leftwards hand|left-facing fist
right-facing fist|leftwards pushing hand|rightwards pushing hand|raised back of hand|palm down hand|palm up hand|pinching hand
hand with index finger and thumb crossed|palms up together|left speech bubble|right anger bubble|eye in speech bubble|anger symbol
dotted line face|head shaking horizontally|head shaking vertically|shaking face|face without mouth|face exhaling|lying face
face with diagonal mouth|speaker low volume|speaker high volume|level slider|control knobs|trackball|pager|bell with slash
card index dividers|card index|bookmark tabs|file cabinet|card file box|outbox tray|inbox tray|incoming envelope|envelope with arrow
closed mailbox with lowered flag|open mailbox with raised flag|open mailbox with lowered flag|locked with pen|locked with key
chart increasing with yen|yen banknote|euro banknote|pound banknote|ledger|notebook with decorative cover|black nib|placard
page facing up|open file folder|mobile phone with arrow|computer disk|petri dish|identification card|japanese post office|love hotel
tanabata tree|pine decoration|moon viewing ceremony|mahjong red dragon|flower playing cards|khanda|wheel of dharma
dotted six-pointed star|orthodox cross|name badge|trident emblem|medical symbol|no littering|non-potable water|no pedestrians
no mobile phones|no one under eighteen|children crossing|suspension railway|mountain railway|light rail|aerial tramway|station
railway car|tram car|waxing crescent moon|waxing gibbous moon|waning gibbous moon|waning crescent moon|last quarter moon
last quarter moon face|bust in silhouette|busts in silhouette|speaking head|person gesturing ok|person gesturing no
person tipping hand|person pouting|person frowning|pregnant man|pregnant person|person feeding baby|breast-feeding
person in suit levitating|person in steamy room|person with white cane|deaf person|person playing water polo
person playing handball|person cartwheeling|person standing|person with skullcap|heart decoration|heart exclamation|revolving hearts
horizontal traffic light|passport control|oncoming fist
""".strip()
    .replace("\n", "|")
    .split("|")
)

JOINER = "200D"
GENDER_SIGNS = {"2640", "2642"}
MAN_WOMAN = {"1F468", "1F469"}
FACING_RIGHT = "27A1"
SKIN_TONES = {f"1F3F{tone}" for tone in "BCDEF"}


def is_variant(code: str) -> bool:
    """True for the skin, gender and direction variants of a person, which would flood the set with near copies."""
    parts = code.split("-")
    join_processes = JOINER in parts
    return bool(
        SKIN_TONES & set(parts)
        or (GENDER_SIGNS & set(parts) and join_processes and parts[0] != "26A7")
        or (join_processes and parts[0] in MAN_WOMAN)
        or (join_processes and FACING_RIGHT in parts)
    )


def is_kept(emoji: Emoji) -> bool:
    if emoji.category in LEFT_OUT_CATEGORIES or emoji.name in LEFT_OUT_NAMES or is_variant(emoji.code):
        return False
    if emoji.name.startswith("family"):
        return False
    return emoji.subcategory not in LEFT_OUT_SUBCATEGORIES or emoji.name in KEPT_NAMES
