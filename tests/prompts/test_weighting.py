"""A1111's weighting syntax: its own examples, and prompts made at random from a tree whose weights are known."""

import math
import random

import pytest

from ldmcli.prompts.weighting import parse_weights

EXAMPLES = {  # as the web UI's documentation of its parser states them
    "normal text": [("normal text", 1.0)],
    "an (important) word": [("an ", 1.0), ("important", 1.1), (" word", 1.0)],
    "(unbalanced": [("unbalanced", 1.1)],
    r"\(literal\]": [("(literal]", 1.0)],
    "(unnecessary)(parens)": [("unnecessaryparens", 1.1)],
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).": [
        ("a ", 1.0), ("house", 1.573), (" ", 1.1), ("on", 1.0), (" a ", 1.1), ("hill", 0.55), (", sun, ", 1.1), ("sky", 1.4641), (".", 1.1)
    ],
}  # fmt: skip
CORNERS = {
    "": [("", 1.0)],
    "()": [("", 1.0)],
    "(a:1)": [("a", 1.0)],
    "(a: 1.25 )": [("a", 1.25)],
    "(a:-.5)": [("a", -0.5)],
    "(a:0)": [("a", 0.0)],
    "[a]": [("a", 1 / 1.1)],
    "[a:0.5]": [("a:0.5", 1 / 1.1)],  # A1111 reads a prompt that changes on the way here; we do not
    "a:1.3)": [("a:1.3)", 1.0)],
    "a) b]": [("a) b]", 1.0)],
    "(a:1.2.3)": [("a:1.2.3", 1.1)],
    "ratio 3:4": [("ratio 3:4", 1.0)],
    "(a) dog": [("a", 1.1), (" dog", 1.0)],
    r"(a\):1.5)": [("a)", 1.5)],
    "\\": [("", 1.0)],
    r"a\b\\c": [(r"ab\c", 1.0)],
}


@pytest.mark.parametrize("prompt", [*EXAMPLES, *CORNERS])
def test_what_each_part_weighs(prompt):
    wanted = {**EXAMPLES, **CORNERS}[prompt]
    found = parse_weights(prompt)
    assert [text for text, _ in found] == [text for text, _ in wanted]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in wanted])


MARKS = "()[]\\:"


def random_text(numbers: random.Random, letters: str) -> str:
    return "".join(numbers.choice(letters) for _ in range(numbers.randrange(12)))


def escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "()[]\\" else letter for letter in text)


def tree(numbers: random.Random, weight: float, depth: int) -> tuple[str, list[tuple[str, float]]]:
    """A prompt and what each of its characters weighs."""
    prompt, expected = "", []
    for _ in range(numbers.randrange(1, 4)):
        kind = numbers.choice(["text", "round", "square", "number"] if depth else ["text"])
        if kind == "text":
            text = random_text(numbers, "ab ,()[]\\")
            prompt, expected = prompt + escaped(text), expected + [(letter, weight) for letter in text]
            continue
        number = numbers.choice([0.3, 0.75, 1.0, 1.3, 2.0])
        inner, found = tree(numbers, weight * {"round": 1.1, "square": 1 / 1.1, "number": number}[kind], depth - 1)
        prompt += {"round": f"({inner})", "square": f"[{inner}]", "number": f"({inner}:{number})"}[kind]
        expected += found
    return prompt, expected


@pytest.mark.parametrize("seed", range(200))
def test_nested_brackets_multiply(seed):
    prompt, expected = tree(random.Random(seed), 1.0, depth=4)
    found = [(letter, weight) for text, weight in parse_weights(prompt) for letter in text]
    assert [letter for letter, _ in found] == [letter for letter, _ in expected]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in expected])


@pytest.mark.parametrize("seed", range(200))
def test_every_text_is_a_prompt_and_loses_nothing_but_marks(seed):
    text = random_text(random.Random(seed), "ab1.3 " + MARKS * 3)
    found = parse_weights(text)
    assert found and all(math.isfinite(weight) for _, weight in found)
    assert all(first != second for (_, first), (_, second) in zip(found, found[1:], strict=False))
    kept, letters = "".join(piece for piece, _ in found), iter(text)
    assert all(letter in letters for letter in kept)  # in their order
    assert parse_weights(escaped(text)) == [(text, 1.0)]


def test_a_hundred_thousand_brackets_take_no_time():
    assert parse_weights("(" * 300 + "a" + ")" * 300) == [("a", pytest.approx(1.1**300))]
    assert len(parse_weights("[a(a:0.9" * 30_000)) > 1
