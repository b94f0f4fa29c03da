"""One job drawn in parts that know nothing of each other, and merged: the same files and rows as by one process."""

import json
import random
import shutil
from hashlib import sha256

import pytest
from forks import fork
from outputs import pictures, rows_of
from sharing import COUNT, same

from ldmcli.cli import main


def test_parts_with_seeds_in_the_lines_are_one_command(tmp_path, ldm, model):
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(f'{{"prompt": "a dog", "seed": {seed}}}\n' for seed in range(4)))
    for number in (1, 2):
        words = ("-f", file, "-m", model, "--device", "cpu", "--steps", 1, "--batch-size", 1, "--shard", f"{number}/2")
        assert ldm("generate", *words, "-o", f"{tmp_path}/{number}/")[0] == 0
    code, out, err = ldm("generate", "--merge", tmp_path / "1", tmp_path / "2", "-o", f"{tmp_path}/out/")
    assert (code, len(out.split())) == (0, 4), err


def test_shards_in_folders_of_their_own_are_merged(job, whole, tmp_path, ldm):
    count = 7
    for number in range(1, count + 1):
        code, _, err = ldm(*job, f"{tmp_path}/out-{number}/", "--shard", f"{number}/{count}")
        assert code == 0, err
    folders = [tmp_path / f"out-{number}" for number in range(1, count + 1)]
    code, out, err = ldm("generate", "--merge", *folders, "-o", f"{tmp_path}/out/")
    assert code == 0, err
    assert same(tmp_path / "out", whole) and len(out.split()) == COUNT
    rows = rows_of(tmp_path / "out")
    assert [row["number"] for row in rows[1:]] == list(range(COUNT))
    assert ldm("generate", "--merge", *folders, "-o", f"{tmp_path}/out/")[0] == 0  # once more: nothing new
    assert rows_of(tmp_path / "out") == rows


def test_shards_killed_at_random_are_finished_by_another_number_of_shards_or_by_one_process(job, whole, tmp_path, ldm):
    """Seven parts in one folder, all killed; then two parts, killed too; then one process."""
    out, argv, rng = tmp_path / "out", [*job, f"{tmp_path}/out/"], random.Random(3)
    for parts, goal in ((7, 12), (2, 24)):
        children = [
            fork(lambda n=n, parts=parts: main([*argv, "--shard", f"{n}/{parts}"]), tmp_path / f"talk-{n}", tmp_path / f"said-{n}")
            for n in range(1, parts + 1)
        ]
        children[0].until(lambda goal=goal: len(list(out.glob("*.png"))) >= goal)
        for child in rng.sample(children, parts):
            child.kill()
    assert ldm(*argv, "--resume")[0] == 0
    assert same(out, whole)


def test_what_a_merge_lacks_is_named_and_resume_draws_it(job, whole, tmp_path, ldm):
    for number in (1, 3):
        assert ldm(*job, f"{tmp_path}/out-{number}/", "--shard", f"{number}/3")[0] == 0
    (tmp_path / "out-1" / "00001_seed6.png").write_bytes(b"changed")
    code, _, err = ldm("generate", "--merge", tmp_path / "out-1", tmp_path / "out-3", "-o", f"{tmp_path}/out/")
    missing = COUNT - len(pictures(tmp_path / "out"))
    assert code == 3 and f"error: {missing} pictures missing: 1, " in err and "--resume" in err
    assert ldm(*job, f"{tmp_path}/out/", "--resume")[0] == 0
    assert same(tmp_path / "out", whole)


def test_doubles_must_be_equal(job, tmp_path, ldm):
    for folder in ("a", "b"):
        assert ldm(*job, f"{tmp_path}/{folder}/", "--shard", "1/8")[0] == 0
    shutil.copytree(tmp_path / "b", tmp_path / "c")
    merge = ("generate", "--merge", tmp_path / "a", tmp_path / "b")
    code, out, err = ldm(*merge, "-o", f"{tmp_path}/out/")
    assert code == 3 and "there more than once, and equal" in err and len(out.split()) == len(pictures(tmp_path / "a"))
    path = next((tmp_path / "c").glob("*.png"))
    old, new = path.read_bytes(), path.read_bytes() + b"x"
    path.write_bytes(new)
    manifest = tmp_path / "c" / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace(sha256(old).hexdigest(), sha256(new).hexdigest()))
    code, _, err = ldm("generate", "--merge", tmp_path / "a", tmp_path / "c", "-o", f"{tmp_path}/other/")
    assert code == 1 and "is there twice and not the same" in err and not (tmp_path / "other").exists()


def test_the_same_command_under_other_numbers_is_not_merged(job, tmp_path, ldm):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "00004_seed1.png").write_text("mine")
    for number, folder in enumerate("ab", 1):
        assert ldm(*job, f"{tmp_path}/{folder}/", "--shard", f"{number}/8")[0] == 0
    code, _, err = ldm("generate", "--merge", tmp_path / "a", tmp_path / "b", "-o", f"{tmp_path}/out/")
    assert code == 1 and "under the same numbers" in err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--shard", "0/2"], "there is no part 0 of 2"),
        (["--shard", "two"], "I/N or auto is needed"),
        (["--shard", "auto"], "no variable of an array of jobs is set"),
        (["--shard", "1/2", "--grid"], "--shard draws a part"),
        (["--shard", "1/2", "--seed", "-1"], "each part would draw another seed"),
    ],
)
def test_parts_that_cannot_be_are_refused(job, tmp_path, ldm, more, words):
    code, _, err = ldm(*job, f"{tmp_path}/out/", *more)
    assert code == 2 and words in err and not list(tmp_path.rglob("*.png"))


def test_merge_draws_nothing(tmp_path, ldm):
    assert "steps cannot be given" in ldm("generate", "--merge", tmp_path, "--steps", "3", "-o", tmp_path / "out")[2]
    assert "Name it: -o out/" in ldm("generate", "--merge", tmp_path)[2]
    assert ldm("generate", "--merge", tmp_path, "-o", tmp_path / "out")[0] == 6  # no manifest there
    (tmp_path / "out").mkdir()
    assert ldm("generate", "--merge", tmp_path / "typo", "-o", tmp_path / "out")[0] == 6


def test_a_merge_tells_of_pictures_that_could_not_be_drawn(tmp_path, ldm, model):
    drawing = ("a dog", "-n", 4, "-m", model, "--device", "cpu", "--steps", 1, "--batch-size", 1, "-s", 1)
    assert ldm("generate", *drawing, "-o", f"{tmp_path}/part/")[0] == 0
    manifest = tmp_path / "part" / "manifest.jsonl"
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    rows[2] = {"status": "failed", "number": rows[2]["number"]}
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, err = ldm("generate", "--merge", tmp_path / "part", "-o", f"{tmp_path}/out/")
    assert code == 3 and len(out.split()) == 3 and f"1 picture could not be drawn: {rows[2]['number']}" in err and "--resume" in err
