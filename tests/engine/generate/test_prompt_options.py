"""--weighting, --long-prompts and --cfg-interval through `ldm generate`."""

import json
import shutil

import numpy as np
import pytest
from outputs import spoil
from PIL import Image

from ldmcli.cli import main

LONG = "a dog " + " ".join("xyz" for _ in range(15))
"""47 tokens, of which a window takes 22."""


@pytest.fixture
def draw(generate, tmp_path):
    """Draw into a folder of its own; returns (pixels of each picture, the JSON, what was said)."""

    def run(*argv, into="out"):
        folder = tmp_path / into
        code, out, err = generate(*argv, "-s", "5", "-o", f"{folder}/", "--json")
        assert code == 0, err
        return [np.asarray(Image.open(path)).astype(int) for path in sorted(folder.glob("*.png"))], json.loads(out), err

    return run


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_brackets_are_text_until_a1111_is_asked_for(draw):
    names = {
        "text": ("a (dog:1.6)",),
        "weighted": ("a (dog:1.6)", "--weighting", "a1111"),
        "plain": ("a dog",),
        "by one": ("a (dog:1.0)", "--weighting", "a1111"),
        "escaped": (r"a \(dog:1.6\)", "--weighting", "a1111"),
    }
    drawn = {name: draw(*argv, into=name)[0] for name, argv in names.items()}
    assert same(drawn["by one"], drawn["plain"]) and same(drawn["escaped"], drawn["text"])
    assert not same(drawn["weighted"], drawn["plain"]) and not same(drawn["weighted"], drawn["text"])


def test_a_negative_prompt_is_weighted_too(draw):
    weighted = draw("a dog", "--negative", "(red:1.8)", "--weighting", "a1111", into="a")[0]
    assert not same(weighted, draw("a dog", "--negative", "red", into="b")[0])


def test_a_long_prompt_is_read_to_its_end(draw):
    whole, report, err = draw(LONG, "--long-prompts", into="whole")
    assert report["images"][0]["truncated_tokens"] == 0 and "too many" not in err
    cut, report, err = draw(LONG, into="cut")
    assert report["images"][0]["truncated_tokens"] == 25 and "this was left out: 'z xyz" in err
    other = draw(LONG[:-1] + "q", "--long-prompts", into="other")[0]
    assert not same(whole, cut) and not same(whole, other)
    assert same(cut, draw(LONG[:-1] + "q", into="cut again")[0])


def test_a_long_negative_prompt_beside_a_short_prompt(draw):
    first = draw("a dog", "--negative", LONG, "--long-prompts", into="a")[0]
    assert not same(first, draw("a dog", "--negative", LONG[:-1] + "q", "--long-prompts", into="b")[0])


def test_strict_refuses_what_would_be_dropped_and_nothing_else(generate, tmp_path):
    code, _, err = generate(LONG, "--strict", "-o", f"{tmp_path}/out/")
    assert code == 2 and "--long-prompts" in err
    assert generate(LONG, "--strict", "--long-prompts", "--steps", "1", "-o", f"{tmp_path}/out/")[0] == 0


PROMPTS = ["a dog", LONG, "a (cat:1.3)", LONG + " and so on and on and on and so on", "", LONG[:-3] + "abc", "x"]


@pytest.mark.parametrize("negative", ["", LONG], ids=["short negative", "long negative"])
def test_a_picture_does_not_depend_on_who_shares_its_batch(draw, negative):
    style = ("--long-prompts", "--weighting", "a1111", "--negative", negative, "--steps", "2")
    together, report, _ = draw(*PROMPTS, *style, "--batch-size", "8", into="together")
    assert [image["prompt"] for image in report["images"]] == PROMPTS
    single = draw(*PROMPTS, *style, "--batch-size", "1", into="single")[0]
    reversed_ = draw(*reversed(PROMPTS), *style, "--batch-size", "1", into="reversed")[0][::-1]
    assert same(single, reversed_)
    assert all(np.abs(one - other).max() <= 1 for one, other in zip(single, together, strict=True))
    for number, prompt in enumerate(PROMPTS[:4]):  # a short one, long ones of other lengths, a weighted one
        assert np.array_equal(draw(prompt, *style, into=f"alone {number}")[0][0], single[number])
    assert same(draw("a dog", "--long-prompts", into="a")[0], draw("a dog", into="b")[0])


def test_jobs_are_finished_after_an_interruption_with_the_same_batches(generate, draw, tmp_path):
    style = ("-s", "5", "--long-prompts", "--batch-size", "2", "-q")
    generate(*PROMPTS, *style, "-o", f"{tmp_path}/whole/")
    generate(*PROMPTS, *style, "-o", f"{tmp_path}/again/")
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").glob("*.png")}
    for name in sorted(whole)[1:5]:
        (tmp_path / "again" / name).unlink()
    assert generate(*PROMPTS, *style, "--resume", "-o", f"{tmp_path}/again/")[0] == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").glob("*.png")} == whole


@pytest.mark.parametrize("scheduler", ["heun", "euler-a", "dpm++3m"])
def test_an_interval_that_covers_everything_is_full_guidance_and_an_empty_one_is_none(draw, scheduler):
    walk = ("a dog", "--scheduler", scheduler, "--steps", "4")
    full, report, _ = draw(*walk, "--cfg-interval", "0,1", into="full")
    calls = report["images"][0]["num_unet_calls"]
    assert report["images"][0]["guided_calls"] == calls
    everywhere, report, _ = draw(*walk, into="everywhere")
    assert same(full, everywhere) and "guided_calls" not in report["images"][0]
    empty, report, err = draw(*walk, "--cfg-interval", "0.0001,0.0002", into="empty")
    assert "no timestep of this run is guided" in err
    assert (report["images"][0]["num_unet_calls"], report["images"][0]["guided_calls"]) == (calls, 0)
    assert same(empty, draw(*walk, "--cfg", "1", into="one")[0]) and not same(empty, full)


def test_outside_of_the_interval_the_network_sees_each_picture_once(draw, evaluations):
    _, report, _ = draw("a dog", "a cat", "--scheduler", "ddim", "--steps", "10", "--cfg-interval", "0.4,0.8")
    assert evaluations == [1, 1, 2, 2, 2, 2, 1, 1, 1, 1]  # rows halved; t = 901, 801, 701, 601, 501, 401, ...
    assert [image["guided_calls"] for image in report["images"]] == [4, 4]


EVERYTHING = ("--weighting", "a1111", "--long-prompts", "--cfg-interval", "0.25,0.75", "--negative", f"(red:1.2) {LONG}")


def test_all_of_it_stands_in_both_chunks_and_is_drawn_again(draw, generate, tmp_path):
    argv = (f"a (dog:1.4), {LONG}", *EVERYTHING, "--batch-size", "1")
    draw(*argv)
    (path,) = (tmp_path / "out").glob("*.png")
    text = Image.open(path).text
    facts = json.loads(text["ldm"])
    assert (facts["weighting"], facts["long_prompts"], facts["cfg_interval"]) == ("a1111", True, [0.25, 0.75])
    assert 0 < facts["guided_calls"] < facts["num_unet_calls"]
    for setting in ("Guidance interval: 0.25-0.75", "Prompt weighting: a1111", "Long prompts: on"):
        assert setting in text["parameters"].split("\n")[-1].split(", ")
    code, out, err = generate("--from-image", path, "--verify", "--json")
    assert code == 0 and json.loads(out)["equal"], err
    again = tmp_path / "again.png"
    assert generate("--from-image", path, "-o", again, "-q")[0] == 0 and again.read_bytes() == path.read_bytes()
    off = ("--weighting", "none", "--no-long-prompts", "--cfg-interval", "0,1")
    assert generate("--from-image", path, *off, "-o", tmp_path / "off.png", "-q")[0] == 0
    facts = json.loads(Image.open(tmp_path / "off.png").text["ldm"])
    assert (facts["weighting"], facts["long_prompts"], facts["cfg_interval"]) == ("none", False, [0.0, 1.0])


def test_a_picture_from_before_these_options_is_drawn_again(draw, generate, tmp_path):
    draw("a (dog)")
    (path,) = (tmp_path / "out").glob("*.png")
    assert not {"Weighting", "Long", "interval"} & set(Image.open(path).text["parameters"].split())
    spoil(path, drop=("weighting", "long_prompts", "cfg_interval", "guided_calls"))
    code, out, _ = generate("--from-image", path, "--verify", "--json")
    assert code == 0 and json.loads(out)["equal"]


@pytest.fixture(scope="module")
def drawn(model, tmp_path_factory):
    """A picture."""
    path = tmp_path_factory.mktemp("drawn") / "picture.png"
    assert main(["generate", "a dog", "-m", str(model), "--device", "cpu", "-s", "5", "--steps", "1", "-q", "-o", str(path)]) == 0
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weighting": "compel"}, "--weighting compel"),
        ({"weighting": 1}, "weighting = 1"),
        ({"long_prompts": "yes"}, "long_prompts = 'yes'"),
        ({"cfg_interval": [0.2]}, "cfg_interval = [0.2]"),
        ({"cfg_interval": [False, True]}, "cfg_interval = [False, True]"),
        ({"cfg_interval": [0.8, 0.2]}, "--cfg-interval 0.8,0.2"),
        ({"cfg_interval": "0,1"}, "cfg_interval = '0,1'"),
    ],
)
def test_a_damaged_record_of_them_is_refused(drawn, generate, tmp_path, change, words):
    path = shutil.copy(drawn, tmp_path)
    spoil(path, **change)
    code, _, err = generate("--from-image", path, "-o", tmp_path / "again.png")
    assert code == 1 and "its record is damaged" in err and words in err


def test_lines_of_a_file_and_sweeps_have_them_too(draw, generate, tmp_path):
    rows = [
        {"prompt": "a (dog:1.6)", "weighting": "a1111"},
        {"prompt": LONG, "long-prompts": True},
        {"prompt": "a dog", "cfg_interval": "0.25,0.75"},
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    lines = draw("-f", tmp_path / "p.jsonl", into="lines")[0]
    typed = [("a (dog:1.6)", "--weighting", "a1111"), (LONG, "--long-prompts"), ("a dog", "--cfg-interval", "0.25,0.75")]
    assert same(lines, [draw(*argv, into=f"typed {number}")[0][0] for number, argv in enumerate(typed)])
    swept = draw("a (dog:1.6)", "--sweep", "weighting=none,a1111", into="swept")[0]
    assert same(swept[1:], lines[:1]) and not same(swept[:1], swept[1:])
    for bad in ('{"prompt": "a", "long_prompts": 1}', '{"prompt": "a", "cfg_interval": "0.5"}', '{"prompt": "a", "steps": true}'):
        (tmp_path / "bad.jsonl").write_text(bad)
        assert generate("-f", tmp_path / "bad.jsonl")[0] == 2
