"""scripts/bench/presets.py: a study in pieces is the study at once, and what it chooses is what its docstring says."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bench"))

import presets  # noqa: E402

from ldmcli.engine.sampling.presets import KEYS  # noqa: E402

SETTINGS, BATCHES = 3 + 1, 2
"""Truth, peer, the model's own and one candidate; nine pictures each."""


@pytest.fixture
def study(monkeypatch, capsys, tmp_path):
    """Run a small one in a folder; returns (exit code, rows, what was said). `study.drawn` grows by one with every batch."""
    monkeypatch.setattr(presets, "PEER", {"scheduler": "pndm", "steps": 2})
    monkeypatch.setattr(presets, "TRUTH", {"scheduler": "ddim", "steps": 2, "spacing": "trailing"})
    monkeypatch.setattr(presets, "OWN", {"steps": 1})
    monkeypatch.setattr(
        presets, "candidates", lambda: [{"scheduler": "unipc", "steps": 2, "spacing": "linspace", "cfg_interval": None, "cfg_reuse": 2}]
    )
    original = presets.draw

    def run(folder, *argv, stop_at=None):
        run.drawn = []

        def draw(*arguments):
            if len(run.drawn) == stop_at:
                raise KeyboardInterrupt
            run.drawn.append(1)
            return original(*arguments)

        monkeypatch.setattr(presets, "draw", draw)
        code = presets.main(["--prompts", "9", "-o", str(tmp_path / folder), *argv])
        out, err = capsys.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], err

    return run


def but_for_time(rows):
    return [{key: value for key, value in row.items() if key not in ("seconds", "times_the_speed_of_pndm")} for row in rows]


def test_a_study_in_pieces_is_the_study_at_once(study, tmp_path):
    code, whole, _ = study("whole")
    assert (code, len(study.drawn)) == (0, SETTINGS * BATCHES)
    assert [row.get("setting") for row in whole] == ["pndm, 50 steps", "the model's own", "candidate", None]
    assert (whole[2]["evaluations"], whole[2]["cfg_reuse"]) == (3, 2)
    with pytest.raises(KeyboardInterrupt):
        study("pieces", stop_at=3)
    code, rows, err = study("pieces", "--minutes", "0")
    assert (code, rows, study.drawn) == (presets.UNFINISHED, [], []) and "0 of 3 settings are drawn" in err
    files = sorted((tmp_path / "pieces").iterdir(), key=lambda path: path.stat().st_size)
    files[-1].write_bytes(files[-1].read_bytes()[:-1])  # the whole one: damaged, so drawn again
    code, rows, _ = study("pieces")
    assert (code, len(study.drawn)) == (0, SETTINGS * BATCHES - 1) and but_for_time(rows) == but_for_time(whole)
    assert study("pieces")[0] == 0 and study.drawn == []


def row(evaluations, score, recognised, psnr, **options):
    setting = {"scheduler": "ddim", "steps": evaluations, "spacing": None, "cfg_interval": None, "cfg_reuse": None, **options}
    return {
        "evaluations": evaluations, "score_ci95": [score, 9.0], "recognised_apart": recognised, "psnr_to_50_steps": psnr, **setting,
    }  # fmt: skip


def test_fast_is_good_enough_and_balanced_as_near_as_the_model_s_own():
    rows = [row(3, -0.6, 0.0, 40.0), row(4, 0.0, -0.02, 40.0), row(5, -0.4, -0.01, 30.0), row(6, 0.0, 0.0, 35.0, cfg_reuse=2)]
    chosen = presets.choose([*rows, row(6, 0.0, 0.0, 34.5), row(9, 0.0, 0.0, 50.0)], row(20, 0.0, 0.0, 34.0))
    assert chosen == {"fast": {"scheduler": "ddim", "steps": 5}, "balanced": {"scheduler": "ddim", "steps": 6, "cfg_reuse": 2}}
    assert set(chosen["balanced"]) <= set(KEYS)
    assert presets.choose(rows[:2], row(20, 0.0, 0.0, 34.0)) == {"fast": None, "balanced": None}
