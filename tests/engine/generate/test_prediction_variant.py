"""--prediction and --variant of `generate`: recorded and replayed."""

import json
from shutil import copytree

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file


def record(path):
    with Image.open(path) as picture:
        return json.loads(picture.text["ldm"])


def pixels(path):
    with Image.open(path) as picture:
        return picture.tobytes()


@pytest.fixture
def with_variant(model, tmp_path):
    """The tiny model with other weights beside its own, under the name bf16."""
    folder = copytree(model, tmp_path / "two")
    path = next((folder / "unet").glob("*.safetensors"))
    tensors = {key: value * 1.1 for key, value in load_file(path).items()}
    save_file(tensors, path.with_suffix(".bf16.safetensors"))
    return folder


@pytest.mark.parametrize(("option", "value"), [("--prediction", "epsilon"), ("--variant", "bf16")])
def test_it_changes_the_picture_is_recorded_and_replayed(ldm, with_variant, tmp_path, option, value):
    paths = [tmp_path / name for name in ("plain.png", "asked.png", "again.png")]
    shared = ["-m", with_variant, "--steps", "2", "-s", "1", "--device", "cpu", "--batch-size", "1", "-q"]
    assert ldm("generate", "a dog", *shared, "-o", paths[0])[0] == 0
    assert ldm("generate", "a dog", *shared, "-o", paths[1], option, value)[0] == 0
    assert pixels(paths[0]) != pixels(paths[1])
    name = option.removeprefix("--")
    assert name not in record(paths[0]) and record(paths[1])[name] == value
    place = ["-m", with_variant, "--device", "cpu", "-q"]
    code, _, err = ldm("generate", "--from-image", paths[1], *place, "-o", paths[2])
    assert code == 0 and "other weights" not in err and paths[2].read_bytes() == paths[1].read_bytes()
    assert ldm("generate", "--from-image", paths[1], "--verify", *place)[0] == 0


@pytest.mark.parametrize(("option", "value"), [("--prediction", "x0"), ("--variant", "../unet"), ("--variant", "fp16.x")])
def test_values_that_cannot_be_are_exit_code_2(generate, option, value):
    code, _, err = generate("a dog", option, value)
    assert code == 2 and f"{option} {value}" in err
