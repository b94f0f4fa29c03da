"""--debug --json says where each setting came from: a flag, the environment, a file, the model or the default."""

import json

import pytest


def test_debug_says_where_each_setting_came_from(ldm, model, tmp_path, monkeypatch):
    (tmp_path / "x.toml").write_text('cfg = 2\nscheduler = "ddim"\n')
    monkeypatch.setenv("LDM_BATCH_SIZE", "1")
    monkeypatch.setenv("LDM_CFG", "3.5")
    arguments = ("generate", "a", "-m", str(model), "-o", f"{tmp_path}/", "--json", "-s", "1", "--config", str(tmp_path / "x.toml"))
    code, out, err = ldm(*arguments, "--steps", "1", "--debug")
    assert code == 0, err
    body = json.loads(out)
    expected = {
        "steps": "flag", "model": "flag", "cfg": "environment", "batch_size": "environment", "scheduler": "file", "width": "model",
        "upscale": "default", "dtype": "default",
    }  # fmt: skip
    assert expected.items() <= body["settings_from"].items()
    assert (body["images"][0]["cfg"], body["images"][0]["scheduler"]) == (3.5, "ddim")
    assert "settings_from" not in json.loads(ldm(*arguments, "--steps", "1")[1])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("bench", "--steps", "1", "--runs", "1", "--warmup", "1"),
            {"steps": "flag", "scheduler": "default", "cfg": "model", "size": "model", "prediction": "model", "batch_size": "default"},
        ),
        (
            ("compare-schedulers", "a", "--schedulers", "ddim", "--steps", "1", "--reference-steps", "1", "--clip-model", "none"),
            {"steps": "flag", "schedulers": "flag", "cfg": "model", "width": "model", "spacing": "model", "batch_size": "default"},
        ),
    ],
)
def test_every_command_that_opens_a_model_says_what_the_model_said(ldm, model, tmp_path, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    code, out, err = ldm(*arguments, "-m", str(model), "--json", "--debug")
    assert code == 0, err
    assert expected.items() <= json.loads(out)["settings_from"].items()
