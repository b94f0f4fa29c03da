"""One job drawn by several processes that know of each other: the same files and rows as by one process."""

import json
import random
import shutil

import pytest
import torch.distributed.rendezvous  # noqa: F401  # for the forks
from children import ldm_together
from forks import ended, fork
from launch import by_launcher
from outputs import pictures, rows_of
from sharing import BATCH, COUNT, same

from ldmcli.cli import main
from ldmcli.runtime import team as team_module


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A process that was killed is missed sooner."""
    monkeypatch.setattr(team_module, "LOST_S", 5.0)


def test_processes_draw_what_one_draws_and_the_first_alone_speaks(job, whole, tmp_path):
    told = ended(ldm_together([[*job, f"{tmp_path}/out/"]] * 3, tmp_path))
    assert [code for code, _, _ in told] == [0] * 3, told
    assert same(tmp_path / "out", whole)
    assert len(rows_of(tmp_path / "out")) == COUNT + 1  # every picture once
    assert sorted(told[0][1].split()) == sorted(f"{tmp_path}/out/{name}" for name in pictures(whole))
    assert all((out, err) == ("", "") for _, out, err in told[1:])


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_started_by_a_launcher(job, whole, tmp_path, launcher):
    done = by_launcher(launcher, *job, f"{tmp_path}/out/")
    assert done.returncode == 0, done.stderr
    assert same(tmp_path / "out", whole) and len(done.stdout.split()) == COUNT


def test_one_report_for_all(job, tmp_path):
    words = [word for word in job[:-1] if word != "-q"]
    one, *others = ended(ldm_together([[*words, "--grid", "--index", "--json", "-o", f"{tmp_path}/out/"]] * 2, tmp_path))
    body = json.loads(one[1])
    assert one[0] == 0 and len(body["images"]) == COUNT and body["failed"] == []
    assert [image["path"] for image in body["images"]] == sorted(image["path"] for image in body["images"])
    assert "2 processes share the work" in one[2] and others[0][1:] == ("", "")
    assert (tmp_path / "out" / "index.html").read_text().count("<img") == COUNT


def killed_at_random(children, folder, rng):
    """kill -9 to one after some pictures, or to all. Returns how the others ended."""
    goal = rng.randrange(5, COUNT - 15)
    for child in children[:1]:
        child.until(lambda: len(list(folder.glob("*.png"))) >= goal)
    victims = rng.sample(children, rng.randrange(1, len(children) + 1))
    for child in victims:
        child.kill()
    return [child for child in children if child not in victims]


@pytest.mark.parametrize(("first", "then"), [(3, 2), (2, 1), (1, 2)])
def test_killed_at_random_and_resumed_by_another_number_of_processes(job, whole, tmp_path, first, then):
    out, argv = tmp_path / "out", [*job, f"{tmp_path}/out/"]
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


def test_when_another_process_is_killed_the_rest_is_drawn_and_the_first_says_what_is_left(job, whole, tmp_path):
    out, argv = tmp_path / "out", [*job, f"{tmp_path}/out/"]
    children = ldm_together([argv] * 2, tmp_path)
    children[1].until(lambda: len(list(out.glob("*.png"))) >= 8)
    children[1].kill()
    (code, _, err), _ = ended(children)
    there = len(pictures(out))
    assert code in (0, 3) and there >= COUNT - 2 * BATCH
    if there < COUNT:
        assert code == 3 and "left: process 1: it has ended" in err and "--resume" in err


def test_when_the_first_is_killed_the_others_end(job, tmp_path):
    out, argv = tmp_path / "out", [*job, f"{tmp_path}/out/"]
    children = ldm_together([argv] * 2, tmp_path)
    children[0].until(lambda: len(list(out.glob("*.png"))) >= 8)
    children[0].kill()
    _, (code, printed, err) = ended(children, 60)
    assert (code, printed) == (1, "") and "Traceback" not in err


def test_what_fails_in_another_process_is_told_by_the_first(job, tmp_path):
    argv = [*job, f"{tmp_path}/out/"]
    other = ["mps" if word == "cpu" else word for word in argv]
    (code, out, err), (other_code, other_out, other_err) = ended(ldm_together([argv, other], tmp_path))
    assert code == 0 and len(pictures(tmp_path / "out")) == COUNT  # the first draws its part too
    assert other_code != 0 and (other_out, other_err) == ("", ""), err
    assert "process 1: " in err


def test_started_again_by_the_launcher_it_goes_on(job, whole, tmp_path, ldm, monkeypatch):
    out = shutil.copytree(whole, tmp_path / "out")
    (out / "00003_seed8.png").unlink()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert ldm(*job, f"{out}/")[0] == 0
    assert same(out, whole)


def test_bad_usage_ends_all_and_is_said_once(job, tmp_path):
    told = ended(ldm_together([[*job, f"{tmp_path}/out/", "--cfg", "3", "--measure", "--json"]] * 2, tmp_path))
    assert [code for code, _, _ in told] == [2, 2]
    assert "without the launcher" in told[0][2] and told[1][1:] == ("", "")


def test_threads_are_those_that_began(job, whole, tmp_path, ldm, monkeypatch):
    """torchrun gives each process one thread, and one process has as many as there are cores: other roundings."""
    out = shutil.copytree(whole, tmp_path / "out")
    victim = out / "00003_seed8.png"
    victim.unlink()
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    code, _, err = ldm(*[word for word in job if word != "-q"], f"{out}/", "--resume")
    assert code == 0 and "was begun with 1 thread, and goes on so" in err
    assert same(out, whole)
