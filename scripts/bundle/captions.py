"""Captions in everyday English for one emoji in one style. Knows no files but everyday_words.txt.

A phrase is a noun with its article ("a dog", "grapes"); a noun is the phrase without it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from sources import Emoji

EVERYDAY_WORDS = Path(__file__).with_name("everyday_words.txt")
MASS_NOUNS = set(
    """
bacon badminton baseball basketball bread broccoli butter corn coral dna fire fog ginger garlic honey ice rain rice salt snow soap softball
sushi tennis popcorn spaghetti volleyball lacrosse lightning wood yarn falafel fondue lettuce custard luggage thunder
aries taurus gemini virgo libra scorpio sagittarius capricorn aquarius pisces ophiuchus cancer leo underwear
""".split()
)
NOT_PLURAL = set(
    "glass cross dress bus cactus octopus walrus hibiscus lens compass chess hippopotamus rhinoceros walrus abacus "
    "christmas tennis brass circus lotus princess mattress grass canvas virus species bass class citrus narcissus".split()
)
SILENT_H = ("hour", "honest")
SOUNDS_LIKE_YOU = ("uni", "eu", "ewe", "use", "one", "ufo", "uk")
SPELLED_WITH_VOWEL = ("x-ray", "suv", "sos")

# Slang and filler of the keyword tables: no help to a picture model.
NOISE = set(
    """
af lit litaf adorbs lol omg lmao rofl idk smh fyi bff yolo bae ily xoxo gg ok yes no yeah hey hi bye the and a of in on with to it like as
cute cool nice wow whatever thing item things stuff random very really emoji symbol button ahh ugh duh meh def totally bruh bro gtfo
good bad great awesome perfect nah nope hot sexy kinky horny dead done please ha haha hehe tool nature
gray grey shade what fart fap shit crap drugs bad omg vibe vibes chill mood dope sus extra savage sweetie honey boo babe ex dude mac
diet forbidden not cost black white red blue green yellow orange purple pink brown
""".split()
)
UNSAID = "!"
GENERIC = 3
"""A caption claimed by more emoji than this names a group, not a thing."""
PICTURE_OF = ("a picture of", "an emoji of", "a drawing of", "an image of", "an icon of")
ARTICLES = ("a ", "an ", "the ")


def read_everyday_words(path: Path = EVERYDAY_WORDS) -> dict[str, list[str]]:
    """Phrases by Unicode name; under UNSAID the names that stay out of captions."""
    words = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("! "):
            words.setdefault(UNSAID, []).append(line.removeprefix("! "))
        elif line and not line.startswith("#"):
            name, phrases = line.split(" = ")
            words[name] = [phrase.strip() for phrase in phrases.split(";")]
    return words


def head_noun(noun: str) -> str:
    """The word an article must agree with: "slice" in "slice of pizza", "dog" in "hot dog"."""
    for preposition in (" with ", " of ", " in ", " on ", " at ", " behind ", " without ", " over ", " and "):
        noun = noun.split(preposition)[0]
    return noun.split()[-1]


def is_plural(word: str) -> bool:
    return word.endswith("s") and not word.endswith(("ss", "us", "is")) and word not in NOT_PLURAL


def with_article(noun: str) -> str:
    """ "dog" -> "a dog", "apple" -> "an apple", "grapes" and "fire" stay bare."""
    if noun in MASS_NOUNS or noun.startswith(ARTICLES):
        return noun
    words = noun.split()
    person_doing = words[0] in ("person", "man", "woman", "child", "face", "baby")
    if not person_doing and (is_plural(head_noun(noun)) or noun.startswith(("people", "two "))):
        return noun
    vowel = (noun[0] in "aeiou" and not noun.startswith(SOUNDS_LIKE_YOU)) or noun.startswith(SILENT_H + SPELLED_WITH_VOWEL)
    return f"{'an' if vowel else 'a'} {noun}"


def without_article(phrase: str) -> str:
    for article in ARTICLES:
        phrase = phrase.removeprefix(article)
    return phrase


def phrases_of(emoji: Emoji, everyday: dict[str, list[str]]) -> list[str]:
    """What people call it, the main phrase first, the Unicode name last if it reads as English."""
    phrases = list(everyday.get(emoji.name, ()))
    if not phrases and emoji.subcategory.startswith("animal") and emoji.name.endswith(" face"):
        phrases.append(with_article(emoji.name.removesuffix(" face")))
    name_is_english = ":" not in emoji.name and emoji.name not in everyday.get(UNSAID, ())
    if not phrases or (name_is_english and emoji.name not in map(without_article, phrases)):
        phrases.append(with_article(emoji.name.replace(":", " with")))
    return list(dict.fromkeys(phrases))


def everyday_words(emoji: Sequence[Emoji]) -> dict[str, list[str]]:
    """As read_everyday_words, with every phrase left to one emoji: that of this very Unicode name, else the first that claims it.

    A caption that means two pictures teaches a small model a blend of both.
    """
    read = read_everyday_words()
    owners: dict[str, Emoji] = {}
    for one in emoji:
        for phrase in phrases_of(one, read):
            if phrase not in owners or without_article(phrase) == one.name:
                owners[phrase] = one
    shared = {one.name: [phrase for phrase in phrases_of(one, read) if owners[phrase] is one] for one in emoji}
    return {UNSAID: read.get(UNSAID, [])} | {name: phrases or [with_article(name)] for name, phrases in shared.items()}


def count_keywords(emoji: Iterable[Emoji]) -> Counter[str]:
    """How many emoji carry each keyword."""
    return Counter(word for one in emoji for word in set(one.keywords[0]) | set(one.keywords[1]))


def listed_keywords(emoji: Emoji, phrases: Sequence[str], counts: Counter[str]) -> list[str]:
    """Keywords that may follow the name in a list, best first: agreed on by both tables, then shared by other emoji."""
    said = {word for phrase in phrases for word in without_article(phrase).split()} | set(emoji.name.split())
    said |= {without_article(phrase) for phrase in phrases}
    cldr, emojilib = emoji.keywords
    usable = [
        word
        for word in dict.fromkeys(cldr + emojilib)
        if word.replace(" ", "").isalpha() and word.isascii() and len(word) > 2 and word not in NOISE and not set(word.split()) & said
    ]
    both = set(cldr) & set(emojilib)
    return sorted(usable, key=lambda word: (word not in both, counts[word] == 1, -min(counts[word], 12), word))


def captions_of(emoji: Emoji, style: str, turn: int, everyday: dict[str, list[str]], counts: Counter[str]) -> list[str]:
    """Six to eight captions, three of which name the style: a caption that names none means any.

    turn: a number that differs between the pictures of one emoji, so that they do not all get the same sentence frames.
    """
    phrases = phrases_of(emoji, everyday)
    main, other = phrases[0], phrases[(1 + turn) % len(phrases)]
    noun = without_article(main)
    keywords = listed_keywords(emoji, phrases, counts)
    start = 2 * turn % max(1, len(keywords) - 1)
    synonyms = [without_article(phrase) for phrase in phrases[1:3]][: 1 + turn % 2]
    listed = ", ".join([noun, *synonyms, *keywords[start : start + 2]])
    framed = [f"{PICTURE_OF[turn % len(PICTURE_OF)]} {main}"]
    if len(phrases) < 3:
        framed.append(f"{PICTURE_OF[(turn + 2) % len(PICTURE_OF)]} {other}")
    plain = [main, *phrases[1:3], listed, *framed]
    styled = [f"{main} in {style}", f"{style} {noun}"]
    frames = (f"{with_article(style)} picture of {other}", f"{without_article(other)}, {style}", f"{other} in {style}")
    styled.append(next(frame for frame in frames[turn % 3 :] + frames if frame not in styled + plain))
    return list(dict.fromkeys(plain + styled))


def standalone_claims(emoji: Iterable[Emoji], everyday: dict[str, list[str]]) -> dict[str, list[str]]:
    """Names of the emoji behind each bare phrase, to check that none is claimed by more than GENERIC of them."""
    claims: dict[str, list[str]] = {}
    for one in emoji:
        for phrase in phrases_of(one, everyday)[:3]:
            claims.setdefault(phrase, []).append(one.name)
    return claims
