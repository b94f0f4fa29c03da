"""Syntax of other tools: what is found in a prompt, what is left alone, what it was meant to say."""

import time

import pytest

from ldmcli.config.measuring import BenchConfig
from ldmcli.config.training import TrainUNetConfig
from ldmcli.engine.bench.run import run_bench
from ldmcli.engine.train.unet_run import prompts_notes
from ldmcli.models.source import find_source
from ldmcli.prompts.syntax import syntax_note, without_syntax
from ldmcli.records.notes import Note

FOUND = {
    "a cat <lora:more_detail:0.8>": ("`<lora:more_detail:0.8>`", "--lora FILE:SCALE"),
    "a cat <lyco:x>": ("`<lyco:x>`", "--lora FILE:SCALE"),
    "a cat BREAK a mat": ("`BREAK`", "--long-prompts"),
    "a cat AND a dog": ("`AND`", "one sentence"),
    "a cat :1.2 AND a dog": ("`1.2 AND`", "one sentence"),
    "a [cat:dog:0.5]": ("`[cat:dog:0.5]`", "does not change on the way"),
    "a [cat:10]": ("`[cat:10]`", "does not change on the way"),
    "a [cat|dog]": ("`[cat|dog]`", "does not change on the way"),
    "a {red|green} cat": ("`{red|green}`", "--prompts-file"),
    "a __colour__ cat": ("`__colour__`", "--prompts-file"),
    "a (cat:1.4)": ("`(cat:1.4)`", "--weighting a1111"),
    "a ((cat))": ("`((cat))`", "--weighting a1111"),
    "a (cat)1.4": ("`(cat)1.4`", "--weighting a1111"),
    "a (big cat)++": ("`(big cat)++`", "--weighting a1111"),
    "a cat --n bad --s 3": ("`--n bad`", "--prompts-file"),
    "a cat --ar 16:9": ("`--ar 16:9`", "options of the command"),
}
PLAIN = [
    "a cat", "mercury (planet)", "a cat, [untitled]", "10:30 in the morning", "a cat -- and a dog", "C++", "salt {and} pepper",
    "snake_case",    "A CAT AND A DOG", "BREAK", "a heartBREAK", "half (1:2:3 of it", "<|endoftext|>", "<cat-toy>", "",
]  # fmt: skip


@pytest.mark.parametrize("prompt", FOUND)
def test_it_is_named_with_what_to_use_instead(prompt):
    shown, instead = FOUND[prompt]
    note = syntax_note([("a dog", "none"), (prompt, "none")])
    assert note and shown in note and instead in note


@pytest.mark.parametrize("prompt", PLAIN)
def test_plain_words_are_not_taken_for_it(prompt):
    assert syntax_note([(prompt, "none")]) is None


def test_weights_are_understood_where_they_were_asked_for():
    assert syntax_note([("a ((cat)) on a (mat:1.4)", "a1111")]) is None
    assert "[a|b]" in (syntax_note([("(x:1.2) [a|b]", "a1111")]) or "")


def test_one_sentence_names_all_of_a_run():
    note = syntax_note([(f"a cat <lora:{n}:1> BREAK", "none") for n in range(5)])
    assert note and note.count("lora") == 3 and "and 3 more" in note and note.count("BREAK") == 1 and "\n" not in note


def test_sample_prompts_of_training_and_the_prompt_of_bench_are_looked_at_too(tmp_path):
    (tmp_path / "prompts.txt").write_text("a cat BREAK a dog\n# a comment BREAK\n(cat:1.4)\n")
    expected = "syntax of other tools is drawn as words here: `BREAK`; `(cat:1.4)`"
    notes = prompts_notes(TrainUNetConfig(data=tmp_path, output=tmp_path / "run", prompts=tmp_path / "prompts.txt"))
    assert [note.text for note in notes if note.warning] == [expected]
    config = BenchConfig(prompt="a cat BREAK a dog, (cat:1.4)")
    assert next(run_bench(config, find_source(config))) == Note(expected, warning=True)


MEANT = {
    "a (cat:1.3), [blurry]": "a cat, blurry",
    "a ((cat)) \\(animal\\)": "a cat (animal)",
    "a cat <lora:detail:0.8>, best": "a cat, best",
    "<lora:x:1> a cat": "a cat",
    "a cat BREAK a mat": "a cat a mat",
    "a cat :1.2 AND a dog": "a cat, a dog",
    "a [cat:dog:0.5]": "a cat dog",
    "a [cat|[dog:3]]": "a cat dog",
    "A CAT AND A DOG": "A CAT AND A DOG",
    "plain,  with two blanks": "plain,  with two blanks",
    "": "",
}


@pytest.mark.parametrize("prompt", MEANT)
def test_the_words_that_were_meant(prompt):
    assert without_syntax(prompt) == MEANT[prompt]


@pytest.mark.parametrize("piece", ["[a:", "(a:", "((", "__", "<lora:", "{a|", ": 1", "1", "a b ", "--n "])
def test_a_hostile_prompt_takes_no_longer_than_it_must(piece):
    started = time.perf_counter()
    syntax_note([("x" + piece * 20_000, "none")])
    without_syntax("x" + piece * 20_000)
    assert time.perf_counter() - started < 5
