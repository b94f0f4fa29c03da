"""The one command that makes the bundled model: budgets, pieces that go on where they were stopped, and what is logged of them."""

import itertools
import json
import random
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bundle"))

import resume_point  # noqa: E402
import run_stages  # noqa: E402
from stages import FULL, SPEED_RUN, STAGES, Run, Stage  # noqa: E402

from ldmcli.runtime.threads import SPINS_BUSY, SPINS_IDLE  # noqa: E402

COUNT = """
import sys
from pathlib import Path
work, wanted = Path(sys.argv[1]), int(sys.argv[2])
calls = work / "calls"
done = int(calls.read_text()) + 1 if calls.is_file() else 1
calls.write_text(str(done))
if done < wanted:
    sys.exit(75)
(work / "product").touch()
"""


@pytest.mark.parametrize(("minutes", "column"), [(FULL, 0), (SPEED_RUN, 1)])
def test_the_stages_fill_the_budget_and_no_more(minutes, column):
    assert sum(stage.minutes[column] for stage in STAGES) == minutes
    assert sum(stage.budget(minutes) for stage in STAGES) == pytest.approx(minutes)
    assert sum(stage.budget(2 * minutes) for stage in STAGES) == pytest.approx(2 * minutes)


def test_a_smaller_budget_means_fewer_steps_of_the_same_stages(tmp_path):
    for stage in (stage for stage in STAGES if stage.rate and all(stage.minutes)):
        full, small = (Run(tmp_path, minutes).steps(stage) for minutes in (FULL, SPEED_RUN))
        assert 20 <= small < full == round(stage.rate * stage.minutes[0])
        assert str(full) in " ".join(stage.command(Run(tmp_path), full))


def test_no_stage_needs_anything_from_outside_the_work_folder(tmp_path):
    """Registry packages aside: no earlier weights, and every file that a command names is made by one before it or is a script."""
    made = [str(tmp_path / part) for part in ("packages", "cache")]
    for stage in STAGES:
        for word in stage.command(Run(tmp_path), 100)[1:]:
            value = word.split("=", 1)[-1]
            if value.startswith(str(tmp_path)):
                own = str(tmp_path / Path(stage.product).parts[0])
                assert value.startswith((own, *made)), (stage.name, word)
            elif value.startswith("scripts/"):
                assert (Path(__file__).parents[2] / value).is_file(), value
            assert "bundled" not in word and (not word.startswith("--init") or value.startswith(tuple(made)))
        made.append(str(tmp_path / Path(stage.product).parts[0]))


def test_every_round_of_the_u_net_begins_with_the_one_before_and_the_last_is_what_is_judged(tmp_path):
    full, small = Run(tmp_path, FULL), Run(tmp_path, SPEED_RUN)
    rounds = [stage for stage in STAGES if stage.name.startswith("U-Net")]
    assert [str(tmp_path / Path(stage.product).parts[0]) for stage in rounds][-1] == str(full.unet) != str(small.unet)
    for stage, before in itertools.pairwise(reversed(rounds)):
        assert f"--init={tmp_path / Path(before.product).parts[0]}" in stage.command(full, 100)
    assert [stage for stage in rounds if stage.budget(SPEED_RUN)] == rounds[:1]
    for run in (full, small):
        assert str(run.unet) in STAGES[-1].command(run, 0)


def test_trainers_and_scripts_are_told_to_end_within_their_piece(tmp_path):
    for stage in (stage for stage in STAGES if stage.rate):
        command = run_stages.limited(stage, stage.command(Run(tmp_path), 5), 100)
        limit = float(command[-1].split("=")[1])
        assert limit == pytest.approx((100 - run_stages.MARGIN) / (60 if stage.is_trainer else 1), rel=1e-3)
        assert ("--resume=auto" in command) is stage.is_trainer


@pytest.fixture
def counted(monkeypatch):
    """One stage that asks to be called again twice."""

    def command(run: Run, steps: int) -> list[str]:
        return ["python", "-c", COUNT, str(run.work), "3"]

    monkeypatch.setattr(run_stages, "STAGES", (Stage("counted", (FULL, 45), command, "product"),))


def called(monkeypatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["train", *map(str, words)])
    run_stages.main()


def test_a_stage_is_called_until_it_is_done_and_then_no_more(counted, monkeypatch, tmp_path):
    called(monkeypatch, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["exit_code"] for row in rows] == [75, 75, 0] and [row["finished"] for row in rows] == [False, False, True]
    assert all(row["stage"] == "counted" and row["commit"] and row["minutes"] >= 0 and row["began"].endswith("Z") for row in rows)
    called(monkeypatch, tmp_path)
    assert (tmp_path / "calls").read_text() == "3"
    (tmp_path / "product").unlink()  # whatever the log says
    called(monkeypatch, tmp_path)
    assert (tmp_path / "calls").read_text() == "4"


def test_a_work_folder_keeps_its_budget(counted, monkeypatch, tmp_path):
    called(monkeypatch, tmp_path)
    with pytest.raises(SystemExit, match=f"begun with --minutes {FULL}"):
        called(monkeypatch, tmp_path, "--minutes", 45)


def test_a_stage_that_fails_ends_the_run(monkeypatch, tmp_path):
    failing = Stage("failing", (FULL, 45), lambda run, steps: ["python", "-c", "raise SystemExit(3)"], "product")
    monkeypatch.setattr(run_stages, "STAGES", (failing,))
    with pytest.raises(SystemExit, match="failing failed with exit code 3"):
        called(monkeypatch, tmp_path)


def test_a_run_that_is_told_to_end_ends_its_piece_and_says_so_in_the_log(monkeypatch, tmp_path):
    told = "import os, signal, time; time.sleep(0.2); os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)"
    monkeypatch.setattr(run_stages, "STAGES", (Stage("told", (FULL, 45), lambda run, steps: ["python", "-c", told], "product"),))
    with pytest.raises(SystemExit, match="told failed with exit code -15"):
        called(monkeypatch, tmp_path)
    (row,) = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert row["exit_code"] == -15 and not row["finished"] and row["minutes"] < 0.5


def test_a_trainer_is_done_at_its_last_step_not_when_its_time_was_up(monkeypatch, tmp_path):
    write = "import sys, pathlib; p = pathlib.Path(sys.argv[1]); p.mkdir(parents=True, exist_ok=True); f = p / 'log.jsonl'; "
    write += "n = len(f.read_text().splitlines()) if f.exists() else 0; f.open('a').write('{\"step\": %d}\\n' % (20 * (n + 1))); "
    write += "(p / 'model/net').mkdir(parents=True, exist_ok=True)"
    trainer = Stage(
        "net", (FULL, 45), lambda run, steps: ["python", "-c", write, f"{run.work}/net"], "net/model/net", rate=40 / FULL, is_trainer=True
    )
    monkeypatch.setattr(run_stages, "STAGES", (trainer,))
    called(monkeypatch, tmp_path, "--one")
    assert not run_stages.is_done(trainer, Run(tmp_path))
    called(monkeypatch, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["finished"] for row in rows] == [False, True] and rows[0]["steps"] == 40


def learner() -> tuple[torch.nn.Linear, torch.optim.Optimizer, random.Random]:
    torch.manual_seed(0)
    net = torch.nn.Linear(4, 2)
    return net, torch.optim.AdamW(net.parameters(), lr=0.1), random.Random(0)


def train(folder: Path, steps: int, ends_after: int | None = None) -> torch.Tensor:
    """A training loop as the scripts have it; the call ends after so many steps."""
    point = resume_point.ResumePoint(folder, 1e9)
    net, optimizer, rng = learner()
    learning = {"net": net, "optimizer": optimizer}
    for step in range(resume_point.go_on(point, learning, rng), steps):
        loss = net(torch.full((1, 4), rng.random()) + torch.randn(1, 4)).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step + 1 == ends_after:
            point.minutes = -1.0
        if point.is_due():
            resume_point.keep(point, step + 1, learning, rng)
    return net.weight.detach()


def test_a_script_that_was_stopped_ends_with_the_same_weights(tmp_path):
    whole = train(tmp_path / "whole", 12)
    with pytest.raises(SystemExit) as ended:
        train(tmp_path / "parts", 12, ends_after=5)
    assert ended.value.code == resume_point.UNFINISHED
    assert torch.equal(train(tmp_path / "parts", 12), whole)


def test_bars_that_are_not_passed_are_named():
    passed = [{"name": name, "value": bar} for name, bar in run_stages.SPEED_BARS.items()]
    assert run_stages.bars_missed(passed) == []
    assert run_stages.bars_missed(passed[1:])[0].startswith(passed[0]["name"])
    assert run_stages.bars_missed([{**passed[0], "value": 0.1}, *passed[1:]]) == [
        f"{passed[0]['name']}: 0.1 (at least {passed[0]['value']})"
    ]


def test_ldm_finds_out_how_long_its_threads_wait_and_scripts_are_told(monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    by_name = {stage.name: stage for stage in STAGES}
    assert run_stages.threads_of(by_name["U-Net"]) == {}  # else it would not look at the machine itself
    assert int(run_stages.threads_of(by_name["scorer"])["GOMP_SPINCOUNT"]) in (SPINS_BUSY, SPINS_IDLE)
    monkeypatch.setenv("GOMP_SPINCOUNT", "5")
    assert run_stages.threads_of(by_name["scorer"]) == {}  # somebody's choice
