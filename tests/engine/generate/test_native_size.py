"""Sizes far beyond the model's own: a warning with one that works."""

import json

import pytest

from ldmcli.engine.sampling.native_size import smaller

SIZES = [
    ((512, 512, 64, 8), "--size 64x64 --upscale 8"),
    ((1536, 768, 512, 8), "--size 512x256 --upscale 3"),
    ((2048, 2048, 512, 8), "--size 512x512 --upscale 4"),
    ((200, 64, 64, 8), "--size 48x16 --upscale 4"),
    ((8192, 8192, 64, 8), "--size 256x256 --upscale 32"),
]


@pytest.mark.parametrize(("asked", "said"), SIZES)
def test_the_size_that_works_has_the_same_shape(asked, said):
    assert smaller(*asked) == said


@pytest.mark.parametrize(("side", "warned"), [(64, False), (128, False), (136, True), (256, True)])
def test_a_warning_comes_beyond_twice_the_models_own_size(side, warned, generate, tmp_path):
    code, _, err = generate("a dog", "-W", side, "-H", 64, "--steps", 1, "-s", 1, "-o", tmp_path / "a.png", "-q")
    assert code == 0 and ("far beyond the 64 x 64 pixels" in err) is warned
    if warned:
        assert err.startswith("warning: ") and "--size" in err and "--upscale" in err


def test_bench_and_compare_schedulers_say_it_too(bench, ldm, model, tmp_path):
    code, out, err = bench("--size", "64,136x64", "--json", "--runs", 1, "--steps", 1)
    assert code == 0 and err.count("far beyond") == 1 and len(json.loads(out)["rows"]) == 2
    arguments = ("-m", model, "--schedulers", "ddim", "--steps", 1, "--reference-steps", 2, "-W", 136, "-H", 64, "--clip-model", "none")
    code, _, err = ldm("compare-schedulers", "a dog", *arguments, "-s", 1, "-o", tmp_path / "c", "-q")
    assert code == 0 and err.count("far beyond") == 1
