"""clipscore by two processes, and of folders that hold parts of one job."""

import json
import shutil

import pytest
from children import ldm_together
from forks import ended

from ldmcli.outputs.joining import ranges

FIGURES = ("cosine_mean", "clip_score", "clipscore_w2.5", "sd", "baseline_shuffled", "shuffled_p")


@pytest.fixture(scope="module")
def drawn(model, tmp_path_factory):
    """Twelve pictures of four prompts in one folder, and the same job in three parts."""
    from ldmcli.cli import main

    folder = tmp_path_factory.mktemp("drawn")
    argv = ["generate", "a dog", "a cat", "red dog", "dog dog", "-n", "3", "-m", str(model), "--device", "cpu", "--steps", "1", "-s", "1"]
    argv += ["--batch-size", "2", "-q", "-o"]
    assert main([*argv, f"{folder}/whole/"]) == 0
    for number in (1, 2, 3):
        assert main([*argv, f"{folder}/part-{number}/", "--shard", f"{number}/3"]) == 0
    return folder


@pytest.fixture
def score(ldm, clip):
    return lambda *argv: ldm("clipscore", *argv, "--clip-model", clip, "--device", "cpu", "--batch-size", "5")


def test_two_processes_score_as_one(score, clip, drawn, tmp_path):
    argv = [drawn / "whole", "--baseline", "shuffled", "--compare", drawn / "part-1", "--json"]
    one = json.loads(score(*argv)[1])
    command = ["clipscore", *argv, "--clip-model", clip, "--device", "cpu", "--batch-size", "5", "-o"]
    (code, out, err), other = ended(ldm_together([[*command, tmp_path / "pairs.csv"]] * 2, tmp_path))
    assert code == 0 and other == (0, "", ""), err
    two = json.loads(out)
    assert {name: two[name] for name in FIGURES} == pytest.approx({name: one[name] for name in FIGURES}, abs=1e-6)
    assert two["ci95"] == pytest.approx(one["ci95"], abs=1e-6)
    assert two["compare"]["ci95"] == pytest.approx(one["compare"]["ci95"], abs=1e-6)
    assert [item["image"] for item in two["items"]] == [item["image"] for item in one["items"]]
    assert [item["cosine"] for item in two["items"]] == pytest.approx([item["cosine"] for item in one["items"]], abs=1e-6)
    assert len((tmp_path / "pairs.csv").read_text().splitlines()) == 13


def test_a_picture_that_cannot_be_read_is_told_once_and_both_end_with_3(clip, drawn, tmp_path):
    folder = shutil.copytree(drawn / "whole", tmp_path / "whole")
    path = folder / "00007_seed2.png"
    path.write_bytes(path.read_bytes()[:200])
    command = ["clipscore", folder, "--clip-model", clip, "--device", "cpu", "--batch-size", "5", "--json"]
    (code, out, err), (other_code, other_out, other_err) = ended(ldm_together([command] * 2, tmp_path))
    assert (code, other_code, other_out, other_err) == (3, 3, "", "") and json.loads(out)["n"] == 11
    assert err.count("could not be read") == 1


def test_parts_of_a_job_are_scored_as_the_whole(score, drawn):
    whole = json.loads(score(drawn / "whole", "--json")[1])
    parts = json.loads(score(*(drawn / f"part-{number}" for number in (1, 2, 3)), "--json")[1])
    assert parts["n"] == 12 and [parts["clip_score"], *parts["ci95"]] == pytest.approx([whole["clip_score"], *whole["ci95"]], abs=1e-6)


def test_what_is_there_twice_counts_once_and_what_is_missing_is_named(score, drawn):
    code, out, err = score(drawn / "whole", drawn / "part-1", "--json")
    assert code == 0 and json.loads(out)["n"] == 12 and "there more than once, and equal; scored once" in err
    code, out, err = score(drawn / "part-1", drawn / "part-3", "--json")
    assert code == 0 and "warning: 4 pictures of the job missing: 2-3, 8-9" in err, err


@pytest.mark.parametrize(
    ("numbers", "words"),
    [([], ""), ([4], "4"), ([3, 1, 2, 9], "1-3, 9"), (range(0, 24, 2), "0, 2, 4, 6, 8, 10, 12, 14, 16, 18 and 2 more stretches")],
)  # fmt: skip
def test_numbers_in_words(numbers, words):
    assert ranges(numbers) == words


def test_a_damaged_copy_is_left_out_where_another_folder_has_the_picture(score, drawn, tmp_path):
    whole = shutil.copytree(drawn / "whole", tmp_path / "whole")
    path = whole / sorted(path.name for path in (drawn / "part-1").glob("*.png"))[0]
    shutil.copy(sorted(whole.glob("*.png"))[-1], path)
    code, out, err = score(whole, drawn / "part-1", "--json")
    assert code == 0 and json.loads(out)["n"] == 12, err
    assert f"left out: {path}" in err
