"""Pictures drawn from Python are the files that the command line writes, and the steps on the way are those of the same walk."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

import ldmcli

WAYS = {
    "by default": {},
    "every option of drawing": {
        "steps": 3, "cfg": 2.5, "scheduler": "DPM++ 2M Karras", "negative_prompt": "blue", "cfg_rescale": 0.5, "cfg_interval": (0.1, 0.9),
        "cfg_reuse": 2, "spacing": "trailing", "sigma_clip": False, "weighting": "a1111", "long_prompts": True, "width": 72, "height": 56,
        "tiled_decode": True, "upscale": 2, "resample": "lanczos",
    },
    "without guidance": {"cfg": 1, "scheduler": "ddim", "steps": np.int64(2)},
    "a stochastic solver, other spellings": {"sampler": "euler_ancestral", "num_inference_steps": 3, "size": "56x64"},
}  # fmt: skip


START = {
    "over a picture": {"strength": 0.6, "scheduler": "ddim", "steps": 4},
    "over a part of a picture": {"strength": 0.8, "mask": "mask.png", "steps": 4},
    "through the VAE alone": {"strength": 0},
    "near another seed": {"variation": "7:0.3"},
}


@pytest.mark.parametrize("way", START)
def test_a_picture_that_starts_from_another_is_the_file_of_the_command(pipe, model, ldm, tmp_path, monkeypatch, way):
    monkeypatch.chdir(tmp_path)
    pipe("dog", seed=1, steps=1).save("start.png")
    Image.linear_gradient("L").save("mask.png")
    options = START[way] if "variation" in START[way] else {"init_image": "start.png", **START[way]}
    assert ldm("generate", "red", "-m", model, "--device", "cpu", "-s", 5, "-o", "typed.png", *flags(options))[0] == 0
    pipe("red", seed=5, **options).save("saved.png")
    assert (tmp_path / "saved.png").read_bytes() == (tmp_path / "typed.png").read_bytes()


def test_a_picture_on_the_way_to_another_is_a_frame_of_the_command(pipe, model, ldm, tmp_path):
    options = {"seed_to": 6, "prompt_to": "red"}
    argv = ("-m", model, "--device", "cpu", "-s", 5, "--frames", 3, "-o", tmp_path / "{number}.png", *flags(options))
    assert ldm("generate", "dog", *argv)[0] == 0
    paths = sorted(tmp_path.glob("*.png"))
    assert len(paths) == 3
    for path, share in zip(paths, (0.0, 0.5, 1.0), strict=True):
        with Image.open(path) as frame:
            ours = pipe("dog", seed=5, share=share, **options)
            assert abs(np.asarray(frame).astype(int) - np.asarray(ours)).max() <= 1  # the three were drawn as one batch


def flags(options):
    """As they are typed."""
    for name, value in options.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{flag}" if value else f"--no-{flag}"
        else:
            yield from (f"--{flag}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value))


@pytest.mark.parametrize("way", WAYS)
def test_a_saved_picture_is_the_file_of_the_command(pipe, model, ldm, tmp_path, way):
    typed, saved = tmp_path / "typed.png", tmp_path / "saved.png"
    code, _, err = ldm("generate", "a (red) dog", "-m", model, "--device", "cpu", "-s", 5, "-o", typed, *flags(WAYS[way]))
    assert code == 0, err
    picture = pipe("a (red) dog", seed=5, **WAYS[way])
    picture.save(saved)
    assert saved.read_bytes() == typed.read_bytes()
    with Image.open(typed) as file:
        assert picture.record == json.loads(file.text["ldm"]) and picture.record["prompt"] == "a (red) dog"
        assert picture.info["parameters"] == file.text["parameters"]


@pytest.mark.parametrize("ending", ["webp", "jpg"])
def test_other_formats_are_those_of_the_command_too(pipe, model, ldm, tmp_path, ending):
    typed, saved = tmp_path / f"typed.{ending}", tmp_path / f"saved.{ending}"
    assert ldm("generate", "dog", "-m", model, "--device", "cpu", "-s", 1, "-o", typed)[0] == 0
    pipe("dog", seed=1).save(saved)
    assert saved.read_bytes() == typed.read_bytes()


def test_the_record_draws_the_picture_again(pipe, model, ldm, tmp_path):
    path = tmp_path / "dog.png"
    pipe("dog", seed=3, steps=2).save(path)
    code, out, err = ldm("generate", "--from-image", path, "--verify", "-m", model, "--device", "cpu", "--json")
    assert code == 0 and json.loads(out)["max_difference"] == 0, err


def test_what_is_made_of_a_picture_has_no_record(pipe, tmp_path):
    picture = pipe("dog", seed=1, steps=1)
    same = pickle.loads(pickle.dumps(picture))
    assert type(same) is ldmcli.Picture and same.record == picture.record and same.tobytes() == picture.tobytes()
    picture.resize((32, 32)).save(tmp_path / "small.png")
    picture.save(tmp_path / "bare.png", pnginfo=None)
    picture.save(tmp_path / "other.bmp")
    for name in ("small.png", "bare.png", "other.bmp"):
        with Image.open(tmp_path / name) as file:
            assert "ldm" not in file.info


def test_a_seed_is_drawn_where_none_is_passed(pipe):
    first, second = pipe("dog", steps=1), pipe("dog", steps=1)
    assert first.record["seed"] != second.record["seed"]
    assert pipe("dog", steps=1, seed=first.record["seed"]).tobytes() == first.tobytes()


@pytest.mark.parametrize(("scheduler", "calls"), [("ddim", 3), ("pndm", 4), ("heun", 5)])
def test_every_evaluation_is_a_step_and_the_last_one_has_the_picture(pipe, scheduler, calls):
    steps = list(pipe.sample("dog", seed=1, steps=3, scheduler=scheduler, cfg=2.0))
    assert [step.index for step in steps] == list(range(calls)) and {step.total for step in steps} == {calls}
    assert all(step.picture is None and step.final is None for step in steps[:-1])
    assert steps[-1].picture.tobytes() == pipe("dog", seed=1, steps=3, scheduler=scheduler, cfg=2.0).tobytes()
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(pipe.noise(1), noise)
    if scheduler == "ddim":  # starts from the noise itself
        assert torch.equal(steps[0].latents, noise)
    for step in steps:
        assert isinstance(step.denoised, Image.Image) and step.denoised.tobytes() == pipe.decode(step.denoised_latents).tobytes()
        torch.testing.assert_close(step.guided, step.uncond + 2.0 * (step.cond - step.uncond))
    assert f"Step(1 of {calls}, timestep {steps[0].timestep:g}" in repr(steps[0])


def test_a_direction_that_is_used_again_says_what_the_second_answer_would_be(pipe):
    steps = list(pipe.sample("dog", seed=1, steps=4, scheduler="ddim", cfg=2.0, cfg_reuse=2))
    noise = [(step.cond - step.uncond) / (1 + step.sigma**2) ** 0.5 for step in steps]  # the model answers v = signal eps - sigma x_0
    for place in (0, 2):
        torch.testing.assert_close(noise[place], noise[place + 1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(noise[1], noise[2])


def test_guidance_that_is_off_has_no_second_answer(pipe):
    [step] = pipe.sample("dog", seed=1, steps=1, cfg=1)
    assert step.uncond is None and step.guided is step.cond


def test_what_the_commands_warn_of_is_a_warning_at_the_line_that_asked(pipe):
    with pytest.warns(UserWarning, match="too many; this was left out") as told:
        pipe("dog " * 40, seed=1, steps=1)
    with pytest.warns(UserWarning, match="this model was trained on: .* size 64x16 upscale 4 works") as told_size:
        pipe.sample("dog", seed=1, steps=1, width=256)
    assert {warning.filename for warning in [*told, *told_size]} == {__file__}
    assert not any("--" in str(warning.message) for warning in told_size)
