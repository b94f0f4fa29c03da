"""--measure: the distance between what was drawn and the exact run."""

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def draw(generate, tmp_path):
    def run(*argv, into):
        code, out, err = generate(*argv, "-s", "5", "-o", f"{tmp_path / into}/", "--json")
        assert code == 0, err
        return sorted((tmp_path / into).glob("*.png")), json.loads(out), err

    return run


def distance(first, second):
    """PSNR in dB and the largest difference, of two files."""
    ours, theirs = (np.asarray(Image.open(path)).astype(float) for path in (first, second))
    return 10 * np.log10(255**2 / np.square(ours - theirs).mean()), np.abs(ours - theirs).max()


def test_the_distance_is_the_one_between_the_files_of_both_runs(draw):
    walk = ("a dog", "-n", "3", "--batch-size", "2", "--scheduler", "euler-a", "--steps", "8")
    near, report, err = draw(*walk, "--cfg-interval", "0.3,0.7", "--measure", into="near")
    exact, plain, _ = draw(*walk, into="exact")
    assert "measured" not in plain and len(report["measured"]) == 3
    for row, image, first, second in zip(report["measured"], report["images"], near, exact, strict=True):
        decibel, largest = distance(first, second)
        assert row["image"] == image["path"] == str(first) and row["choice"] == "--cfg-interval 0.3,0.7"
        assert row["psnr"] == pytest.approx(decibel, abs=0.006) and row["max_difference"] == largest > 0
        assert row["exact_unet_evaluations"] == 16 and row["unet_evaluations"] == 8 + image["guided_calls"]
        assert row["seconds"] == image["seconds"] and row["exact_seconds"] > 0
        assert f"{first}, with and without --cfg-interval 0.3,0.7: PSNR {decibel:.1f} dB, at most {largest:.0f} of 255" in err
    assert "nothing to measure" not in err


def test_the_pictures_are_those_of_a_run_that_is_not_measured(draw):
    walk = ("a dog", "--cfg-interval", "0.3,0.7", "--upscale", "2", "--progressive", "strip")
    measured, plain = draw(*walk, "--measure", into="measured")[0], draw(*walk, into="plain")[0]
    assert [path.read_bytes() for path in measured] == [path.read_bytes() for path in plain]


def test_each_choice_is_measured_alone_and_then_all_of_them(draw):
    walk = ("a dog", "--scheduler", "ddim", "--steps", "6")
    near, report, _ = draw(*walk, "--cfg-interval", "0.3,0.7", "--dtype", "bf16", "--measure", into="near")
    references = {
        "--cfg-interval 0.3,0.7": ("--dtype", "bf16"),
        "bf16": ("--cfg-interval", "0.3,0.7"),
        "all of it": (),
    }
    assert [row["choice"] for row in report["measured"]] == list(references)
    for row in report["measured"]:
        exact = draw(*walk, *references[row["choice"]], into=row["choice"])[0]
        decibel, largest = distance(near[0], exact[0])
        assert row["psnr"] == pytest.approx(decibel, abs=0.006) and row["max_difference"] == largest


@pytest.mark.parametrize("argv", [(), ("--cfg-interval", "0,1"), ("--cfg-rescale", "0.5"), ("--cfg", "1")])
def test_with_nothing_approximate_it_says_so_and_draws_once(draw, evaluations, argv):
    _, report, err = draw("a dog", "--steps", "3", *argv, "--measure", into="exact")
    assert report["measured"] == [] and "nothing to measure: nothing here is approximate" in err
    assert len(evaluations) == report["images"][0]["num_unet_calls"]


def test_equal_pictures_have_no_distance():
    from ldmcli.engine.generate.approximations import distance as measured

    black, grey = Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4), (1, 1, 1))
    assert measured(black, black) == (None, 0)
    assert measured(black, grey) == (48.13, 1)
