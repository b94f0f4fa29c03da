"""--preset: the model's own words for scheduler, steps and guidance, under whatever was typed."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ldmcli.engine.sampling.presets import GENERAL, preset_values
from ldmcli.models.source import BUNDLED

FAST = {"scheduler": "dpm++2m", "steps": 3, "spacing": "trailing", "cfg_interval": [0.4, 1.0]}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The bundled model with a preset of the test's own, and none named balanced."""
    folder = tmp_path_factory.mktemp("model") / "bundled"
    shutil.copytree(BUNDLED, folder, copy_function=lambda source, target: target and __import__("os").symlink(source, target))
    index = folder / "model_index.json"
    facts = json.loads(index.read_text())
    index.unlink()
    facts["_ldm"]["presets"] = {"fast": FAST}
    index.write_text(json.dumps(facts))
    return folder


@pytest.fixture
def draw(generate, model, tmp_path):
    def run(*argv, into, code=0):
        ended, out, err = generate("a dog", "-m", str(model), "-s", "5", "-o", str(tmp_path / f"{into}.png"), "--json", *argv)
        assert ended == code, err
        return tmp_path / f"{into}.png", json.loads(out) if out else None, err

    return run


def record(path):
    return json.loads(Image.open(path).text["ldm"])


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


TYPED = ("--scheduler", "dpm++2m", "--steps", "3", "--spacing", "trailing", "--cfg-interval", "0.4,1")


def test_a_preset_draws_what_its_options_draw_and_is_recorded_by_them(draw):
    preset, typed = draw("--preset", "fast", into="preset")[0], draw(*TYPED, into="typed")[0]
    assert preset.read_bytes() == typed.read_bytes()
    facts = record(preset)
    assert (facts["scheduler"]["name"], facts["scheduler"]["steps"], facts["cfg_interval"]) == ("dpm++2m", 3, [0.4, 1.0])


def test_what_is_typed_wins_and_a_scheduler_keeps_its_own_spacing(draw):
    facts = record(draw("--preset", "fast", "--steps", "4", "--cfg-interval", "0,1", "--scheduler", "ddim", into="typed")[0])
    assert (facts["scheduler"]["name"], facts["scheduler"]["steps"], facts["scheduler"]["spacing"]) == ("ddim", 4, "leading")
    assert facts["guided_calls"] == 4


def test_a_preset_may_use_directions_again_and_is_told_not_to(draw, model):
    index = model / "model_index.json"
    before = index.read_text()
    facts = json.loads(before)
    facts["_ldm"]["presets"]["fast"] = {**FAST, "cfg_interval": [0.0, 1.0], "cfg_reuse": 2}
    try:
        index.write_text(json.dumps(facts))
        preset, typed = (record(draw("--preset", "fast", *more, into=name)[0]) for name, more in (("a", ()), ("b", ("--cfg-reuse", "1"))))
    finally:
        index.write_text(before)
    assert (preset["cfg_reuse"], preset["guided_calls"]) == (2, 2)
    assert "cfg_reuse" not in typed and typed["guided_calls"] == 3


def test_exact_is_the_model_s_usual_walk(draw):
    assert draw("--preset", "exact", into="exact")[0].read_bytes() == draw(into="usual")[0].read_bytes()


def test_measure_draws_the_usual_walk_beside_it(draw):
    near, report, err = draw("--preset", "fast", "--measure", into="near")
    [row] = report["measured"]
    exact = draw(into="exact")[0]
    apart = np.square(pixels(near) - pixels(exact)).mean()
    assert row["choice"] == "--preset fast" and row["psnr"] == pytest.approx(10 * np.log10(255**2 / apart), abs=0.006)
    assert row["exact_unet_evaluations"] == 20 and row["unet_evaluations"] < 6 and "with and without --preset fast" in err


def test_a_model_without_the_preset_gets_the_general_one_and_is_told():
    values, (note,) = preset_values("fast", {})
    assert values == GENERAL["fast"] and "is not measured" in note
    assert preset_values(None, {"presets": {"fast": FAST}}) == ({}, ())


def test_no_preset_takes_longer_than_the_usual_steps(draw):
    path, _, err = draw("--preset", "balanced", into="general")
    assert record(path)["scheduler"]["steps"] == 10 and "only 10 steps as it is" in err


def test_a_picture_names_its_own_steps(draw, generate):
    path = draw("--preset", "fast", into="drawn")[0]
    code, _, err = generate("--from-image", str(path), "--preset", "fast")
    assert code == 2 and "--from-image" in err


def test_presets_may_be_swept_and_named_for_each_prompt(draw, generate, model, tmp_path):
    lines = tmp_path / "prompts.jsonl"
    lines.write_text('{"prompt": "a cat", "preset": "fast", "seed": 1}\n{"prompt": "a cat", "seed": 1}\n')
    code, out, err = generate("-f", str(lines), "-m", str(model), "-o", f"{tmp_path / 'many'}/", "--json")
    assert code == 0, err
    assert [image.get("guided_calls") for image in json.loads(out)["images"]] == [2, None]
