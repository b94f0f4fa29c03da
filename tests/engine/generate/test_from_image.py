"""`generate --from-image` draws what a picture records; `--verify` compares."""

import json
import shutil

import numpy as np
import pytest
from outputs import spoil
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import load_file, save_file

SCHEDULERS = ["dpm++2m", "dpm++2m-sde", "ddim", "ddpm", "euler-a", "heun-karras", "pndm", "dpm++3m"]


@pytest.fixture
def draw(generate, tmp_path):
    """Draw one picture with a batch size of 1; returns its path."""

    def run(*argv, name="first.png"):
        path = tmp_path / name
        code, _, err = generate("a dog, \N{DOG FACE}", "-s", "5", "--steps", "3", "--batch-size", "1", "-o", path, "-q", *argv)
        assert code == 0, err
        return path

    return run


@pytest.fixture
def replay(generate, tmp_path):
    """Draw again from a picture; returns the path of the new one."""

    def run(path, *argv):
        again = tmp_path / "again.png"
        code, _, err = generate("--from-image", path, "-o", again, "--overwrite", "-q", *argv)
        assert code == 0, err
        return again

    return run


def verified(answer):
    code, out, err = answer
    assert code == 0, err
    body = json.loads(out)
    assert set(body) == {"image", "equal", "max_difference", "differs_in"}
    return body["equal"] and body["max_difference"] == 0 and body["differs_in"] == []


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_picture_is_drawn_again_byte_for_byte_and_verified(draw, replay, generate, scheduler):
    path = draw("--scheduler", scheduler)
    assert replay(path).read_bytes() == path.read_bytes()
    assert verified(generate("--from-image", path, "--verify", "--json"))


VARIANTS = {
    "everything": (
        "--negative",
        "red",
        "--cfg",
        "2.5",
        "--cfg-rescale",
        "0.3",
        "--size",
        "64x32",
        "--upscale",
        "2",
        "--resample",
        "lanczos",
    ),
    "no guidance": ("--cfg", "0"),
    "another spacing": ("--spacing", "trailing", "--scheduler", "ddim"),
    "from the whole schedule": ("--no-sigma-clip", "--scheduler", "euler"),
    "half precision": ("--dtype", "bf16"),
}


@pytest.mark.parametrize("what", VARIANTS)
def test_every_option_that_matters_is_recorded(draw, replay, what):
    path = draw(*VARIANTS[what])
    assert replay(path).read_bytes() == path.read_bytes()


def test_options_given_beside_it_win(draw, replay):
    path = draw()
    assert replay(path, "--seed", "9").read_bytes() == draw("--seed", "9", name="nine.png").read_bytes()
    assert (
        replay(path, "--cfg", "2", "--negative", "red").read_bytes() == draw("--cfg", "2", "--negative", "red", name="b.png").read_bytes()
    )


@pytest.mark.parametrize("other", ["ddim", "euler"])
def test_another_scheduler_has_its_own_spacing_and_start(draw, replay, other):
    path = draw("--scheduler", "ddim" if other == "euler" else "euler")
    assert replay(path, "--scheduler", other).read_bytes() == draw("--scheduler", other, name="direct.png").read_bytes()


def test_more_pictures_count_on_from_the_recorded_seed(draw, generate, tmp_path):
    code, out, _ = generate("--from-image", draw(), "-n", "3", "-o", f"{tmp_path}/more/", "--json")
    assert code == 0 and [image["seed"] for image in json.loads(out)["images"]] == [5, 6, 7]


def test_a_picture_out_of_a_batch_is_verified_to_one_level(generate, tmp_path):
    generate("a dog", "a cat", "-n", "2", "-s", "5", "--steps", "3", "-o", f"{tmp_path}/out/", "-q")
    for path in sorted((tmp_path / "out").glob("*.png")):
        code, out, _ = generate("--from-image", path, "--verify", "--json")
        assert code == 0 and json.loads(out)["max_difference"] <= 1


def test_verify_says_so_in_words_and_writes_nothing(draw, generate, tmp_path, monkeypatch):
    path = draw()
    monkeypatch.chdir(tmp_path)
    code, out, err = generate("--from-image", path, "--verify", "-q")
    assert (code, out, err) == (0, f"equal: {path}\n", "")
    assert [found.name for found in tmp_path.iterdir()] == ["first.png"]


def repainted(path, change):
    """The same chunks around other pixels."""
    with Image.open(path) as picture:
        pixels, info = np.array(picture), PngInfo()
        for key, text in picture.text.items():
            info.add_text(key, text)
    Image.fromarray(change(pixels)).save(path, pnginfo=info)
    return path


def one_pixel(pixels):
    pixels[3, 4, 1] ^= 64
    return pixels


def test_one_changed_pixel_is_found(draw, generate):
    path = repainted(draw(), one_pixel)
    code, out, err = generate("--from-image", path, "--verify", "--json")
    assert code == 1 and json.loads(out) == {"image": str(path), "equal": False, "max_difference": 64, "differs_in": []}
    assert "could not be made again" in err and "its pixels were changed after it was drawn" in err and "Traceback" not in err
    assert generate("--from-image", path, "--verify", "-q")[1] == f"differs by up to 64 of 255: {path}\n"


def test_a_picture_of_another_size_is_not_equal(draw, generate):
    path = repainted(draw(), lambda pixels: pixels[:32].copy())
    code, out, _ = generate("--from-image", path, "--verify", "--json")
    assert code == 1 and json.loads(out) == {"image": str(path), "equal": False, "max_difference": None, "differs_in": []}


@pytest.fixture
def other_model(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "other")
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({key: value * 1.1 for key, value in load_file(path).items()}, path, metadata={"format": "pt"})
    return folder


def test_other_weights_cannot_verify_and_draw_with_a_warning(draw, generate, other_model, tmp_path):
    path = draw()
    code, out, err = generate("--from-image", path, "--verify", "-m", other_model)
    assert code == 1 and out == "" and "error: other has other weights (sha256 " in err and "-m" in err
    code, _, err = generate("--from-image", path, "-o", tmp_path / "again.png", "-m", other_model, "-q")
    assert code == 0 and "warning: other has other weights" in err
    assert (tmp_path / "again.png").read_bytes() != path.read_bytes()


def test_the_recorded_name_of_the_model_is_looked_up_here_and_never_as_a_path(ldm, draw, model, tmp_path, monkeypatch):
    path = draw()
    monkeypatch.chdir(model.parent)
    assert ldm("generate", "--from-image", path, "--verify", "--device", "cpu", "-q")[0] == 0  # model.parent/tiny
    monkeypatch.chdir(tmp_path)
    assert ldm("generate", "--from-image", path, "--verify")[0] == 6
    spoil(path, model=str(model))
    code, _, err = ldm("generate", "--from-image", path, "--verify")
    assert code == 6 and "is not looked up" in err and "-m" in err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--from-image", "x.png", "a dog"), "picture's own prompt"),
        (("--from-image", "x.png", "-f", "prompts.txt"), "picture's own prompt"),
        (("--from-image", "x.png", "--sweep", "cfg=1,2"), "picture's own prompt"),
        (("--from-image", "x.png", "--verify", "--seed", "9"), "seed cannot be given"),
        (("a dog", "--verify"), "--verify goes with --from-image"),
    ],
)
def test_options_that_do_not_go_together_are_a_usage_error(generate, argv, words):
    code, out, err = generate(*argv)
    assert code == 2 and out == "" and words in err


def test_a_missing_picture_is_exit_6(generate):
    code, _, err = generate("--from-image", "no-such.png", "--verify")
    assert code == 6 and err.startswith("error: --from-image no-such.png: no such file.")
