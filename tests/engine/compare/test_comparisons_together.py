"""Comparisons side by side in one place, and one comparison by two processes."""

import json
import os

import pytest
from children import ldm_together
from forks import ended, fork

import ldmcli.commands.compare_schedulers
import ldmcli.engine.compare.run  # noqa: F401
from ldmcli.cli import main


@pytest.fixture
def command(model, clip):
    argv = ["compare-schedulers", "a dog", "dog dog", "-m", str(model), "--device", "cpu", "-s", "3", "--cfg", "2", "--steps", "2,3"]
    return [*argv, "--reference-steps", "6", "--clip-model", str(clip), "--batch-size", "3", "--seeds", "2", "--json"]


def both(command, tmp_path):
    """(exit code, stdout, stderr) of two that begin at once, with other prompts."""
    return ended([fork(lambda n=n: main([*command, "-p", f"dog {n}"]), tmp_path / f"talk-{n}", tmp_path / f"out-{n}") for n in range(2)])


def test_two_at_once_have_a_folder_each(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = both([*command, "--schedulers", "ddim"], tmp_path)
    assert [code for code, _, _ in told] == [0, 0], told
    folders = sorted(os.listdir(tmp_path / "outputs"))
    assert folders == ["compare-1", "compare-2"]
    kept = [json.loads((tmp_path / "outputs" / folder / "results.json").read_text()) for folder in folders]
    assert sorted(json.dumps(body) for body in kept) == sorted(json.dumps(json.loads(out)) for _, out, _ in told)


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_two_at_once_in_a_named_folder_one_is_refused(command, tmp_path, more):
    told = sorted(both([*command, "--schedulers", "ddim,heun", "-o", str(tmp_path / "cmp"), *more], tmp_path))
    if more and [code for code, _, _ in told] == [0, 0]:
        return  # one after the other, as --overwrite allows
    assert [code for code, _, _ in told] == [0, 2], told
    assert "already holds" in told[1][2] or "another comparison is writing there" in told[1][2]
    assert json.loads((tmp_path / "cmp" / "results.json").read_text()) == json.loads(told[0][1])


def test_two_processes_compare_as_one(command, tmp_path):
    argv = [*command, "--schedulers", "ddim,dpm2,euler-a,heun", "--equal-nfe", "-o"]  # dpm2 cannot do this model; heun has two equal cells
    assert main([*argv, str(tmp_path / "one")]) == 3
    (code, out, err), other = ended(ldm_together([[*argv, str(tmp_path / "two")]] * 2, tmp_path))
    assert code == 3 and other == (3, "", ""), (err, other)
    one, two = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two"))
    timed = {"seconds", "seconds_per_call"}
    assert [{**row, **dict.fromkeys(timed)} for row in two["rows"]] == [{**row, **dict.fromkeys(timed)} for row in one["rows"]]
    assert two["env"] == one["env"] and two["differences"] == one["differences"]
    drawn = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one" / "images").rglob("*.png"))
    assert len(drawn) == 3 * 2 * 4 and all(
        (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes() for name in drawn
    )
