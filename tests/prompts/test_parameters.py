"""The text under `parameters`: what A1111's own rule makes of it."""

import random
import re
import time

import pytest

from ldmcli.prompts.parameters import SETTING, read_parameters

A1111_GRAMMAR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
LAST = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x512"

READ = {
    "all three": (f"a cat\nNegative prompt: ugly\n{LAST}", "a cat", "ugly"),
    "several lines of each": (f"a cat\non a mat\nNegative prompt: ugly\nblurry\n{LAST}", "a cat\non a mat", "ugly\nblurry"),
    "no negative prompt": (f"a cat\n{LAST}", "a cat", ""),
    "no settings": ("a cat\nNegative prompt: ugly", "a cat", "ugly"),
    "nothing but the prompt": ("a cat", "a cat", ""),
    "no prompt": (f"Negative prompt: ugly\n{LAST}", "", "ugly"),
    "nothing but settings": (LAST, "", ""),
    "a line of the prompt begins as settings do": (f"a list\nSteps: one, two\nof stairs\n{LAST}", "a list\nSteps: one, two\nof stairs", ""),
    "two settings are words": ("a cat\nSteps: 20, Sampler: Euler", "a cat\nSteps: 20, Sampler: Euler", ""),
    "settings before the last line are words": (f"{LAST}\na cat", f"{LAST}\na cat", ""),
    "blanks around": (f"\n  a cat  \r\nNegative prompt:   ugly \n{LAST}\n", "a cat", "ugly"),
    "a quoted setting": (f'a cat\n{LAST}, Lora hashes: "x: 1, y: 2"', "a cat", ""),
    "settings of Civitai": (f'a cat\n{LAST}, Civitai resources: [{{"type":"checkpoint","modelVersionId":1}}]', "a cat", ""),
}


@pytest.mark.parametrize("case", READ)
def test_the_last_line_alone_holds_settings(case):
    text, prompt, negative = READ[case]
    assert read_parameters(text)[:2] == (prompt, negative)


def test_settings_come_back_without_their_quotes():
    settings = read_parameters(f'a cat\n{LAST}, Lora hashes: "x: 1, y: 2"')[2]
    assert settings["Lora hashes"] == "x: 1, y: 2" and settings["Seed"] == "5"
    assert read_parameters("a cat: one, two: 2")[2] == {}


def test_settings_are_found_where_the_grammar_of_a1111_finds_them():
    dice = random.Random(0)
    pieces = ["a", "ab", "Steps", " ", ":", ",", '"', "\\", "-", "/", "7", "é", "(", "\t"]
    for _ in range(20_000):
        line = "".join(dice.choices(pieces, k=dice.randrange(25)))
        assert SETTING.findall(line) == A1111_GRAMMAR.findall(line), repr(line)


def test_a_long_line_without_a_colon_takes_no_longer_than_it_must():
    started = time.perf_counter()
    read_parameters("ab " * 200_000)
    assert time.perf_counter() - started < 2  # the grammar itself would take minutes
