"""Data layouts, crops, flips and doing without a cache, through the trainers."""

import json

import pytest
from runs import KINDS, config_for, events_of, log_of, stop_after

from ldmcli.commands.settings import Invocation
from ldmcli.commands.training import resolve_config
from ldmcli.config.training import TrainVAEConfig
from ldmcli.data.layouts import load_captioned
from ldmcli.errors import LdmError, UsageError
from ldmcli.records.notes import Note

SHORT = {"max_steps": 2, "val_every": 2}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_without_a_cache_writes_none_and_learns_the_same(kind, coco, model, tmp_path):
    options = {**SHORT, "crop": "random", "flip": True}
    list(events_of(config_for(kind, coco, model, tmp_path / "kept", **options)))
    list(events_of(config_for(kind, coco, model, tmp_path / "bare", **options, no_cache=True)))
    assert (tmp_path / "kept" / "cache").is_dir() and not (tmp_path / "bare" / "cache").exists()
    for one, other in zip(log_of(tmp_path / "kept"), log_of(tmp_path / "bare"), strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-3)  # encoded in other batches: the last bit of fp16


@pytest.mark.parametrize("kind", KINDS)
def test_crops_and_flips_are_the_same_numbers_after_a_stop(kind, coco, model, tmp_path):
    options = {"max_steps": 3, "crop": "random", "flip": True}
    list(events_of(config_for(kind, coco, model, tmp_path / "through", **options)))
    stop_after(config_for(kind, coco, model, tmp_path / "halves", **options), 1)
    list(events_of(config_for(kind, coco, model, tmp_path / "halves", **options, resume="auto")))
    assert log_of(tmp_path / "halves") == log_of(tmp_path / "through")


def test_unusable_pictures_are_listed_and_too_many_end_the_run(coco, model, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for image in load_captioned(coco).images:
        (folder / image.path.name).write_bytes(image.path.read_bytes())
        (folder / image.path.name).with_suffix(".txt").write_text(image.captions[0])
    for number in range(7):
        (folder / f"bad{number}.png").write_text("<html>")
        (folder / f"bad{number}.txt").write_text("a page")
    (folder / "bare.png").touch()
    texts = [e.text for e in events_of(config_for("vae", folder, model, tmp_path / "run", **SHORT)) if isinstance(e, Note)]
    assert any("(pictures with .txt captions)" in text for text in texts)
    assert sum(text.startswith("left out bad") for text in texts) == 5 and any(text.startswith("left out 2 more") for text in texts)
    rows = [json.loads(line) for line in (tmp_path / "run" / "skipped.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["bare.png", *(f"bad{number}.png" for number in range(7))]
    assert all(row["reason"] and row["file"] for row in rows)
    with pytest.raises(LdmError, match="7 unusable pictures, more than --max-bad 6") as caught:
        list(events_of(config_for("vae", folder, model, tmp_path / "other", **SHORT, max_bad=6)))
    assert "skipped.jsonl" in caught.value.hint and (tmp_path / "other" / "skipped.jsonl").is_file()


@pytest.mark.parametrize(
    ("given", "said"),
    [({"crop": "left"}, "center, random or none"), ({"no_cache": True, "cache": "x"}, "--no-cache"), ({"max_bad": "-1"}, "--max-bad")],
)
def test_senseless_options_are_usage_errors(given, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        resolve_config(
            Invocation("train-vae", (TrainVAEConfig,), {"data": f"{tmp_path}", "output": f"{tmp_path}", **given}), TrainVAEConfig
        )


def test_a_checkpoint_from_before_an_option_existed_goes_on(coco, model, tmp_path):
    """What it does not say was what is now the default."""
    config = config_for("vae", coco, model, tmp_path / "run", max_steps=3)
    stop_after(config, 1)
    manifest = tmp_path / "run" / "checkpoints" / "step-000001" / "manifest.json"
    body = json.loads(manifest.read_text())
    for option in ("crop", "flip", "no_cache"):
        del body["facts"]["settings"][option]
    manifest.write_text(json.dumps(body))
    again = {"max_steps": 2, "resume": "auto"}
    with pytest.raises(UsageError, match="crop: 'center' then, 'none' now"):
        list(events_of(config_for("vae", coco, model, tmp_path / "run", **again, crop="none")))
    list(events_of(config_for("vae", coco, model, tmp_path / "run", **again)))
    assert len(log_of(tmp_path / "run")) == 2
