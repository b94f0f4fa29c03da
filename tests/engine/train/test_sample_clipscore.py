"""--sample-clipscore: every sheet is scored, and training does not notice."""

import pytest
import torch
from PIL import Image
from runs import config_for, events_of, log_of, newest

from ldmcli.models.scorer import load_scorer


@pytest.fixture(scope="module")
def scored(coco, model, clip, tmp_path_factory):
    """Four steps with a sheet at every other one."""
    output = tmp_path_factory.mktemp("scored")
    (output / "prompts.txt").write_text("a red square\na blue circle\n")
    options = {"size": 32, "max_steps": 4, "sample_every": 2, "prompts": output / "prompts.txt"}
    list(events_of(config_for("unet", coco, model, output / "run", **options, sample_clipscore=str(clip))))
    list(events_of(config_for("unet", coco, model, output / "plain", **options)))
    return output


def test_the_log_has_the_score_of_every_sheet(scored, clip):
    rows = {row["step"]: row.get("clip_score") for row in log_of(scored / "run")}
    assert [step for step, score in rows.items() if score is not None] == [2, 4]
    with Image.open(scored / "run" / "samples" / "step-000004.png") as sheet:
        pictures = [sheet.crop((left, 4, left + 32, 36)) for left in (4, 40)]  # as contact_sheet lays them out
    expected = load_scorer(str(clip)).score(pictures, ["a red square", "a blue circle"]).mean().item()
    assert rows[4] == pytest.approx(100 * expected, abs=1e-4)


def test_the_weights_are_those_of_a_run_that_scores_nothing(scored):
    one, other = newest(scored / "run"), newest(scored / "plain")
    for part in ("network", "ema", "optimizer"):
        here, there = one.tensors(part), other.tensors(part)
        assert all(torch.equal(here[key], there[key]) for key in here)
    assert [row["loss"] for row in log_of(scored / "run")] == [row["loss"] for row in log_of(scored / "plain")]
    assert not any("clip_score" in row for row in log_of(scored / "plain"))


def test_a_scorer_that_is_not_there_is_told_before_anything_is_read(ldm, coco, tmp_path):
    code, _, err = ldm("train-unet", "--data", coco, "-o", tmp_path / "run", "--sample-clipscore", "no such folder")
    assert code == 6 and "no CLIP model at 'no such folder'" in err and not (tmp_path / "run").exists()
