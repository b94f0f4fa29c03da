"""The table of ways of training the U-Net: one real run, which is not made again."""

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bundle"))
sys.path.insert(1, str(Path(__file__).parents[1] / "engine"))

import recipes  # noqa: E402
from tiny import make_coco  # noqa: E402

from ldmcli.models.source import BUNDLED  # noqa: E402


def test_a_recipe_is_run_once_and_its_row_says_what_it_learned(tmp_path, monkeypatch, capsys):
    make_coco(tmp_path / "emoji")
    for part in ("vae", "tower"):
        (tmp_path / part).symlink_to(BUNDLED)
    given = ["recipes.py", str(tmp_path), "--pictures", "16", "--seeds", "0", "--only", "batches of 16"]
    monkeypatch.setattr(sys, "argv", given)
    recipes.main()
    first = capsys.readouterr().out
    row = [cell.strip() for cell in first.splitlines()[-1].strip("|").split("|")]
    last = json.loads((tmp_path / "recipes/AdamW,-batches-of-16-0/log.jsonl").read_text().splitlines()[-1])
    assert row[0] == "AdamW, batches of 16" and last["step"] == 1
    assert row[1:3] == [f"{last['val_loss']:.4f}", f"{last['val_loss_q4']:.4f}"] and float(row[3]) > 0
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: 1 / 0)
    recipes.main()
    assert capsys.readouterr().out == first


def test_as_many_pictures_mean_as_many_for_every_batch():
    for options in recipes.RECIPES.values():
        if "--batch-size" in options:
            assert 9600 % int(options[options.index("--batch-size") + 1]) == 0
