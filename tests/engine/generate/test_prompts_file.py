"""Prompts files: what each line becomes, and what is said of a line that cannot be used."""

import io
import json
import sys

import pytest

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.generate import prompts_file
from ldmcli.engine.generate.prompts_file import KEYS, read_prompts
from ldmcli.errors import LdmError, NotFound, UsageError


@pytest.fixture
def read(tmp_path):
    """What a file of this content holds: (requests, failed lines)."""

    def run(content, **settings):
        file = tmp_path / "prompts.txt"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        prompts = read_prompts(str(file), GenerateConfig(**settings))
        return prompts.requests, prompts.failed

    return run


def prompts_and_lines(requests):
    return [(request.prompt, request.line) for request in requests]


def test_each_line_is_a_prompt_except_blank_ones_and_comments(read):
    requests, failed = read("a dog\n\n# not this\n   \n  # nor this\n  a cat  \ndog #1\nlast without an end")
    assert prompts_and_lines(requests) == [("a dog", 1), ("a cat", 6), ("dog #1", 7), ("last without an end", 8)]
    assert failed == []


def test_a_byte_order_mark_and_carriage_returns_are_not_part_of_a_prompt(read):
    requests, failed = read(b"\xef\xbb\xbfa dog\r\n\r\n# no\r\na cat\r\n")
    assert prompts_and_lines(requests) == [("a dog", 1), ("a cat", 4)] and failed == []
    assert prompts_and_lines(read(b'\xef\xbb\xbf{"prompt": "a dog"}\r\n')[0]) == [("a dog", 1)]


@pytest.mark.parametrize(
    "prompt", ["[red] a dog", "../../x", "caf\xe9 \N{DOG FACE} \u6f22", "(a:1.2), <lora:x>", "a \u2028 b \x85 c", "-q"]
)
def test_text_is_taken_as_it_stands(read, prompt):
    assert prompts_and_lines(read(f"{prompt}\nnext\n")[0]) == [(prompt, 1), ("next", 2)]


def test_a_json_line_may_set_every_key(read):
    line = {
        "prompt": "a dog", "negative_prompt": "blurry", "seed": 7, "num_images": 3, "preset": "fast", "scheduler": "DPM++ 2M Karras",
            "steps": 9, "cfg": 2,
        "cfg_rescale": 0.5, "cfg_interval": "0.2,0.8", "cfg_reuse": 2, "weighting": "a1111", "long_prompts": True,
        "width": 64, "height": 32,
    }  # fmt: skip
    start = {"init_image": __file__, "strength": 0.5, "mask": __file__, "variation": "3:0.5"}
    frames = {"seed_to": 5, "prompt_to": "a cat", "frames": 3}
    assert {*line, *start, *frames} == set(KEYS)
    (way,), _ = read(json.dumps({"prompt": "a dog", **frames}))
    assert (way.config.seed_to, way.config.prompt_to, way.config.frames, way.config.pictures) == (5, "a cat", 3, 3)
    (request,), _ = read(json.dumps(line | start))
    assert [str(getattr(request.config, key)) for key in start] == [str(value) for value in start.values()]
    config = request.config
    assert (request.prompt, request.seed, request.line) == ("a dog", 7, 1)
    assert (config.negative_prompt, config.num_images, config.scheduler, config.steps) == ("blurry", 3, "dpm++2m-karras", 9)
    assert (config.cfg, config.cfg_rescale, config.width, config.height) == (2.0, 0.5, 64, 32)
    assert (config.cfg_interval, config.cfg_reuse, config.weighting, config.long_prompts) == ((0.2, 0.8), 2, "a1111", True)


def test_what_a_json_line_does_not_say_comes_from_the_command_line(read):
    (first, second), _ = read('{"prompt": "a", "steps": 3}\nb\n', steps=8, cfg=2.0, negative_prompt="red", num_images=2)
    assert (first.config.steps, first.config.cfg, first.config.negative_prompt, first.config.num_images) == (3, 2.0, "red", 2)
    assert second.config.steps == 8


def test_keys_may_have_dashes_as_options_do(read):
    (request,), _ = read('{"prompt": "a", "negative-prompt": "b"}')
    assert request.config.negative_prompt == "b"


def test_a_seed_of_minus_1_is_that_of_the_command(read):
    (request,), _ = read('{"prompt": "a", "seed": -1}', seed=5)
    assert request.seed is None


@pytest.mark.parametrize("prompt", ["", "  "])
def test_an_empty_prompt_can_be_asked_for_in_json(read, prompt):
    assert prompts_and_lines(read(json.dumps({"prompt": prompt}))[0]) == [(prompt, 1)]


UNUSABLE = {
    "bad JSON": (b'{"prompt": "a"', "not JSON: Expecting ',' delimiter, column 15"),
    "text after the object": (b'{"prompt": "a"} {"prompt": "b"}', "not JSON"),
    "deep nesting": (b'{"prompt": ' + b"[" * 100_000, "not JSON"),
    "a number of 5000 digits": (b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}", "not JSON"),
    "unknown key": (b'{"prompt": "a", "stepz": 3}', "unknown key 'stepz'; known: prompt, scheduler"),
    "no prompt": (b'{"steps": 3}', "no `prompt`"),
    "prompt of a wrong type": (b'{"prompt": ["a"]}', "prompt = ['a'] has the wrong type"),
    "null": (b'{"prompt": "a", "seed": null}', "seed = None has the wrong type"),
    "steps in words": (b'{"prompt": "a", "steps": "3"}', "steps = '3' has the wrong type"),
    "steps with a fraction": (b'{"prompt": "a", "steps": 3.0}', "wrong type"),
    "true for a number": (b'{"prompt": "a", "steps": true}', "steps = True has the wrong type"),
    "half an interval": (b'{"prompt": "a", "cfg_interval": [0.2]}', "cfg_interval = [0.2] has the wrong type: two numbers"),
    "steps 0": (b'{"prompt": "a", "steps": 0}', "got 0"),
    "steps 1000": (b'{"prompt": "a", "scheduler": "euler", "steps": 1000}', "euler takes 1 to 999 steps"),
    "cfg NaN": (b'{"prompt": "a", "cfg": NaN}', "--cfg"),
    "cfg infinite": (b'{"prompt": "a", "cfg": 1e999}', "--cfg"),
    "cfg beyond a float": (b'{"prompt": "a", "cfg": ' + b"9" * 400 + b"}", "cfg is too large"),
    "width 63": (b'{"prompt": "a", "width": 63}', "--width"),
    "width beyond a float": (b'{"prompt": "a", "width": ' + b"8" * 400 + b"}", "--width"),
    "seed 2**64": (b'{"prompt": "a", "seed": 18446744073709551616}', "--seed"),
    "seed -2": (b'{"prompt": "a", "seed": -2}', "--seed"),
    "no pictures": (b'{"prompt": "a", "num_images": 0}', "-n/--num-images"),
    "too many pictures": (b'{"prompt": "a", "num_images": ' + b"9" * 300 + b"}", "-n/--num-images"),
    "unknown scheduler": (b'{"prompt": "a", "scheduler": "magic"}', "No scheduler is called 'magic'"),
    "lone surrogate": (b'{"prompt": "a \\ud800"}', "not valid UTF-8"),
    "NUL": (b"a\0b", "a NUL byte"),
    "NUL in JSON": (b'{"prompt": "a\\u0000b"}', "a NUL character in prompt"),
    "Latin-1": ("caf\xe9".encode("latin-1"), "not UTF-8: byte 0xe9 at place 4"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_line_that_cannot_be_used_is_named_and_the_others_are_kept(read, what):
    line, words = UNUSABLE[what]
    requests, failed = read(b"a dog\n# comment\n" + line + b"\r\na cat\n")
    assert prompts_and_lines(requests) == [("a dog", 1), ("a cat", 4)]
    (item,) = failed
    assert (item.line, item.prompt, item.exit_code) == (3, None, 2) and words in item.error


@pytest.mark.parametrize("what", UNUSABLE)
def test_strict_refuses_such_a_line_with_its_number(read, what):
    line, words = UNUSABLE[what]
    with pytest.raises(UsageError) as caught:
        read(b"a dog\n" + line + b"\na cat\n", strict=True)
    assert "prompts.txt, line 2: " in caught.value.message and words in caught.value.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a dog\n#1 best dog\na cat\n", ["line 2 begins with # and is a comment, not a prompt"]),
        ("\ufeff# one\na dog\n  # two\n", ["2 lines begin with # and are comments, not prompts, line 1 for one"]),
        ("a dog #2\n", []),
    ],
)
def test_comments_are_counted_and_said(tmp_path, content, said):
    (tmp_path / "p.txt").write_text(content, encoding="utf-8")
    notes = read_prompts(str(tmp_path / "p.txt"), GenerateConfig()).notes
    assert notes == [f"{tmp_path / 'p.txt'}: {text}" for text in said]


@pytest.mark.parametrize("order", ["le", "be"])
def test_a_file_in_utf_16_with_its_mark_is_read(read, order):
    requests, failed = read("\ufeffa café\r\n# no\r\n\u732b \u010a\r\n".encode(f"utf-16-{order}"))
    assert prompts_and_lines(requests) == [("a café", 1), ("\u732b \u010a", 3)] and failed == []


def test_a_file_in_broken_utf_16_is_refused_by_its_line(read):
    with pytest.raises(LdmError, match=r"prompts\.txt, line 2: not UTF-16"):
        read(b"\xff\xfea\0\n\0b")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# only\n# comments\n", b"\xef\xbb\xbf"])
def test_a_file_without_any_prompt_is_a_usage_error(read, content):
    with pytest.raises(UsageError, match="holds no usable prompt"):
        read(content)


def test_a_file_without_any_usable_line_says_what_is_wrong_with_the_first(read):
    with pytest.raises(UsageError, match="holds no usable prompt; line 2: unknown key"):
        read('# x\n{"promt": "a"}\n{"prompt": 3}\n')


@pytest.mark.parametrize("name", ["no-such.txt", "file/prompts.txt", "~nobody-of-this-name/prompts.txt"])
def test_a_missing_file_is_not_found(tmp_path, monkeypatch, name):
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match="no such file"):
        read_prompts(name, GenerateConfig())


def test_a_folder_is_not_a_prompts_file(tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        read_prompts(str(tmp_path), GenerateConfig())


def test_a_file_without_an_end_is_refused(monkeypatch):
    with pytest.raises(UsageError, match="/dev/zero is a device"):
        read_prompts("/dev/zero", GenerateConfig())
    monkeypatch.setattr(prompts_file, "MOST_BYTES", 100)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a dog\n" * 100)))
    with pytest.raises(UsageError, match="standard input does not end: more than 100 bytes"):
        read_prompts("-", GenerateConfig())


@pytest.mark.parametrize("block", [3, 10, 2**16])
def test_utf_16_is_decoded_piece_by_piece(monkeypatch, read, block):
    monkeypatch.setattr(prompts_file, "BLOCK_BYTES", block)
    prompts = ["caf\xe9 \N{DOG FACE}", "\u0a0a \u010a", "a" * 30, "last"]
    for order in ("le", "be"):
        requests, failed = read(("\ufeff" + "\r\n\n".join(prompts)).encode(f"utf-16-{order}"))
        assert prompts_and_lines(requests) == list(zip(prompts, (1, 3, 5, 7), strict=True)) and failed == []
    lone, half = ("a\nb\n", b"\0\xdc", "line 3: not UTF-16"), ("a\nb", b"\0", "line 2: not UTF-16")
    for text, rest, words in (lone, half, ("a\n\0", b"", "line 2: a NUL")):
        with pytest.raises(LdmError, match=words):
            read(f"\ufeff{text}".encode("utf-16-le") + rest)
    monkeypatch.setattr(prompts_file, "MOST_LINE_BYTES", 20)
    *pieces, last = read(f"\ufeff{'a' * 50}\nb".encode("utf-16-le"))[0]
    assert "".join(piece.prompt for piece in pieces) == "a" * 50 and last.prompt == "b"
