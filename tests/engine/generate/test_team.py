"""One job drawn by several processes, or in parts that know nothing of each other: the same files and rows as by one process."""

import json
import random
import shutil

import pytest
import torch.distributed.rendezvous  # noqa: F401  # for the forks
from children import ldm_together
from forks import ended, fork
from launch import by_launcher
from outputs import pictures, rows_of

from ldmcli.cli import main
from ldmcli.runtime import team as team_module

COUNT, BATCH = 12, 4
"""Prompts, of five pictures each; scripts/bench/sharing.py takes more."""


@pytest.fixture(scope="module")
def command(model, tmp_path_factory):
    """The arguments but for the folder: pictures of two kinds."""
    file = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    lines = [
        f'{{"prompt": "a dog {i}"}}' if i % 3 else f'{{"prompt": "a cat {i}", "scheduler": "euler-a", "cfg": 2}}' for i in range(COUNT)
    ]
    file.write_text("\n".join(lines))
    drawing = ["generate", "-f", str(file), "-n", "5", "--steps", "2", "--batch-size", str(BATCH), "-s", "5", "-q"]
    return [*drawing, "-m", str(model), "--device", "cpu", "-o"]


@pytest.fixture(scope="module")
def whole(command, tmp_path_factory):
    """The folder that one process drew."""
    folder = tmp_path_factory.mktemp("whole")
    child = fork(lambda: main([*command, f"{folder}/out/"]), folder / "talk")
    assert child.wait() == 0, child.said()
    assert len(pictures(folder / "out")) == 5 * COUNT
    return folder / "out"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A process that was killed is missed sooner."""
    monkeypatch.setattr(team_module, "LOST_S", 5.0)


def known(folder):
    """The rows by number, newest first, without how long each took."""
    rows = {row["number"]: {**row, "seconds": None} for row in rows_of(folder) if row.get("status") == "ok"}
    starts = [row for row in rows_of(folder) if row.get("event") == "start"]
    return starts, [rows[number] for number in sorted(rows)]


def same(folder, whole):
    return pictures(folder) == pictures(whole) and known(folder) == known(whole)


@pytest.mark.parametrize("count", [2, 3])
def test_processes_draw_what_one_draws_and_the_first_alone_speaks(command, whole, tmp_path, count):
    told = ended(ldm_together([[*command, f"{tmp_path}/out/"]] * count, tmp_path))
    assert [code for code, _, _ in told] == [0] * count, told
    assert same(tmp_path / "out", whole)
    assert len(rows_of(tmp_path / "out")) == 5 * COUNT + 1  # every picture once
    assert sorted(told[0][1].split()) == sorted(f"{tmp_path}/out/{name}" for name in pictures(whole))
    assert all((out, err) == ("", "") for _, out, err in told[1:])


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_started_by_a_launcher(command, whole, tmp_path, launcher):
    done = by_launcher(launcher, *command, f"{tmp_path}/out/")
    assert done.returncode == 0, done.stderr
    assert same(tmp_path / "out", whole) and len(done.stdout.split()) == 5 * COUNT


def test_one_report_for_all(command, tmp_path):
    words = [word for word in command[:-1] if word != "-q"]
    one, *others = ended(ldm_together([[*words, "--grid", "--index", "--json", "-o", f"{tmp_path}/out/"]] * 2, tmp_path))
    body = json.loads(one[1])
    assert one[0] == 0 and len(body["images"]) == 5 * COUNT and body["failed"] == []
    assert [image["path"] for image in body["images"]] == sorted(image["path"] for image in body["images"])
    assert "2 processes share the work" in one[2] and others[0][1:] == ("", "")
    assert (tmp_path / "out" / "index.html").read_text().count("<img") == 5 * COUNT


def killed_at_random(children, folder, rng):
    """kill -9 to one after some pictures, or to all. Returns how the others ended."""
    goal = rng.randrange(5, 5 * COUNT - 25)
    for child in children[:1]:
        child.until(lambda: len(list(folder.glob("*.png"))) >= goal)
    victims = rng.sample(children, rng.randrange(1, len(children) + 1))
    for child in victims:
        child.kill()
    return [child for child in children if child not in victims]


@pytest.mark.parametrize(("first", "then"), [(3, 2), (2, 1), (1, 2)])
def test_killed_at_random_and_resumed_by_another_number_of_processes(command, whole, tmp_path, first, then):
    out, argv = tmp_path / "out", [*command, f"{tmp_path}/out/"]
    children = ldm_together([argv] * first, tmp_path) if first > 1 else [fork(lambda: main(argv), tmp_path / "talk", tmp_path / "said")]
    left = killed_at_random(children, out, random.Random(10 * first + then))
    assert all(code in (0, 1, 3) and "Traceback" not in err for code, _, err in ended(left))
    again = [*argv, "--resume"]
    if then > 1:
        told = ended(ldm_together([again] * then, tmp_path))
        assert [code for code, _, _ in told] == [0] * then, told
    else:
        assert main(again) == 0
    assert same(out, whole)


def test_when_another_process_is_killed_the_rest_is_drawn_and_the_first_says_what_is_left(command, whole, tmp_path):
    out, argv = tmp_path / "out", [*command, f"{tmp_path}/out/"]
    children = ldm_together([argv] * 2, tmp_path)
    children[1].until(lambda: len(list(out.glob("*.png"))) >= 8)
    children[1].kill()
    (code, _, err), _ = ended(children)
    there = len(pictures(out))
    assert code in (0, 3) and there >= 5 * COUNT - 2 * BATCH
    if there < 5 * COUNT:
        assert code == 3 and "left: process 1: it has ended" in err and "--resume" in err


def test_when_the_first_is_killed_the_others_end(command, tmp_path):
    out, argv = tmp_path / "out", [*command, f"{tmp_path}/out/"]
    children = ldm_together([argv] * 2, tmp_path)
    children[0].until(lambda: len(list(out.glob("*.png"))) >= 8)
    children[0].kill()
    _, (code, printed, err) = ended(children, 60)
    assert (code, printed) == (1, "") and "Traceback" not in err


def test_what_fails_in_another_process_is_told_by_the_first(command, tmp_path):
    argv = [*command, f"{tmp_path}/out/"]
    other = ["mps" if word == "cpu" else word for word in argv]
    (code, out, err), (other_code, other_out, other_err) = ended(ldm_together([argv, other], tmp_path))
    assert code == 0 and len(pictures(tmp_path / "out")) == 5 * COUNT  # the first draws its part too
    assert other_code != 0 and (other_out, other_err) == ("", ""), err
    assert "process 1: " in err


def test_started_again_by_the_launcher_it_goes_on(command, whole, tmp_path, ldm, monkeypatch):
    out = shutil.copytree(whole, tmp_path / "out")
    (out / "00003_seed8.png").unlink()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert ldm(*command, f"{out}/")[0] == 0
    assert same(out, whole)


def test_parts_with_seeds_in_the_lines_are_one_command(tmp_path, ldm, model):
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(f'{{"prompt": "a dog", "seed": {seed}}}\n' for seed in range(4)))
    for number in (1, 2):
        words = ("-f", file, "-m", model, "--device", "cpu", "--steps", 1, "--batch-size", 1, "--shard", f"{number}/2")
        assert ldm("generate", *words, "-o", f"{tmp_path}/{number}/")[0] == 0
    code, out, err = ldm("generate", "--merge", tmp_path / "1", tmp_path / "2", "-o", f"{tmp_path}/out/")
    assert (code, len(out.split())) == (0, 4), err


def test_bad_usage_ends_all_and_is_said_once(command, tmp_path):
    told = ended(ldm_together([[*command, f"{tmp_path}/out/", "--cfg", "3", "--measure", "--json"]] * 2, tmp_path))
    assert [code for code, _, _ in told] == [2, 2]
    assert "without the launcher" in told[0][2] and told[1][1:] == ("", "")


@pytest.mark.parametrize("count", [2, 7])
def test_shards_in_folders_of_their_own_are_merged(command, whole, tmp_path, ldm, count):
    for number in range(1, count + 1):
        code, _, err = ldm(*command, f"{tmp_path}/out-{number}/", "--shard", f"{number}/{count}")
        assert code == 0, err
    folders = [tmp_path / f"out-{number}" for number in range(1, count + 1)]
    code, out, err = ldm("generate", "--merge", *folders, "-o", f"{tmp_path}/out/")
    assert code == 0, err
    assert same(tmp_path / "out", whole) and len(out.split()) == 5 * COUNT
    rows = rows_of(tmp_path / "out")
    assert [row["number"] for row in rows[1:]] == list(range(5 * COUNT))
    assert ldm("generate", "--merge", *folders, "-o", f"{tmp_path}/out/")[0] == 0  # once more: nothing new
    assert rows_of(tmp_path / "out") == rows


def test_shards_killed_at_random_are_finished_by_another_number_of_shards_or_by_one_process(command, whole, tmp_path, ldm):
    """Seven parts in one folder, all killed; then two parts, killed too; then one process."""
    out, argv, rng = tmp_path / "out", [*command, f"{tmp_path}/out/"], random.Random(3)
    for parts, goal in ((7, 12), (2, 30)):
        children = [
            fork(lambda n=n, parts=parts: main([*argv, "--shard", f"{n}/{parts}"]), tmp_path / f"talk-{n}", tmp_path / f"said-{n}")
            for n in range(1, parts + 1)
        ]
        children[0].until(lambda goal=goal: len(list(out.glob("*.png"))) >= goal)
        for child in rng.sample(children, parts):
            child.kill()
    assert ldm(*argv, "--resume")[0] == 0
    assert same(out, whole)


def test_what_a_merge_lacks_is_named_and_resume_draws_it(command, whole, tmp_path, ldm):
    for number in (1, 3):
        assert ldm(*command, f"{tmp_path}/out-{number}/", "--shard", f"{number}/3")[0] == 0
    (tmp_path / "out-1" / "00001_seed6.png").write_bytes(b"changed")
    code, _, err = ldm("generate", "--merge", tmp_path / "out-1", tmp_path / "out-3", "-o", f"{tmp_path}/out/")
    missing = 5 * COUNT - len(pictures(tmp_path / "out"))
    assert code == 3 and f"error: {missing} pictures missing: 1, " in err and "--resume" in err
    assert ldm(*command, f"{tmp_path}/out/", "--resume")[0] == 0
    assert same(tmp_path / "out", whole)


def test_doubles_must_be_equal(command, tmp_path, ldm):
    for folder in ("a", "b"):
        assert ldm(*command, f"{tmp_path}/{folder}/", "--shard", "1/8")[0] == 0
    shutil.copytree(tmp_path / "b", tmp_path / "c")
    merge = ("generate", "--merge", tmp_path / "a", tmp_path / "b")
    code, out, err = ldm(*merge, "-o", f"{tmp_path}/out/")
    assert code == 3 and "there more than once, and equal" in err and len(out.split()) == len(pictures(tmp_path / "a"))
    path = next((tmp_path / "c").glob("*.png"))
    old, new = path.read_bytes(), path.read_bytes() + b"x"
    path.write_bytes(new)
    from hashlib import sha256

    manifest = tmp_path / "c" / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace(sha256(old).hexdigest(), sha256(new).hexdigest()))
    code, _, err = ldm("generate", "--merge", tmp_path / "a", tmp_path / "c", "-o", f"{tmp_path}/other/")
    assert code == 1 and "is there twice and not the same" in err and not (tmp_path / "other").exists()


def test_the_same_command_under_other_numbers_is_not_merged(command, tmp_path, ldm):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "00004_seed1.png").write_text("mine")
    for number, folder in enumerate("ab", 1):
        assert ldm(*command, f"{tmp_path}/{folder}/", "--shard", f"{number}/8")[0] == 0
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
def test_parts_that_cannot_be_are_refused(command, tmp_path, ldm, more, words):
    code, _, err = ldm(*command, f"{tmp_path}/out/", *more)
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


def test_threads_are_those_that_began(command, whole, tmp_path, ldm, monkeypatch):
    """torchrun gives each process one thread, and one process has as many as there are cores: other roundings."""
    out = shutil.copytree(whole, tmp_path / "out")
    victim = out / "00003_seed8.png"
    victim.unlink()
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    code, _, err = ldm(*[word for word in command if word != "-q"], f"{out}/", "--resume")
    assert code == 0 and "was begun with 1 thread, and goes on so" in err
    assert same(out, whole)
