"""The way from one noise or prompt to another: frames, and A1111's variations."""

import json
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from start_pictures import FAST, drawing, facts, pixels


@pytest.fixture
def draw(generate, tmp_path):
    """Draw into a folder; returns the paths in order."""
    return drawing(generate, tmp_path)


def slerp(one, other, share, axes):
    """Shoemake's formula, in float64."""
    unit = [x / np.sqrt((x**2).sum(axis=axes, keepdims=True)) for x in (one, other)]
    omega = np.arccos((unit[0] * unit[1]).sum(axis=axes, keepdims=True))
    return (np.sin((1 - share) * omega) * one + np.sin(share * omega) * other) / np.sin(omega)


@cache
def pipeline_of(model):
    import diffusers

    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(model, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    settings = {"timestep_spacing": "leading"}
    pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config, **settings)
    return pipeline


def diffusers_pictures(model, latents, **inputs):
    pipeline = pipeline_of(model)
    shared = {"num_inference_steps": 3, "guidance_scale": 3.0, "latents": torch.from_numpy(latents).float()}

    def embed(prompt):
        return pipeline.encode_prompt(prompt, "cpu", 1, True, "")[:2]

    (first, negative), (last, _) = (embed(inputs[key]) for key in ("prompt", "prompt_to"))
    embeds = first + inputs["share"] * (last - first)
    return np.asarray(pipeline(prompt_embeds=embeds, negative_prompt_embeds=negative, **shared).images[0]).astype(int)


def noise(seed):
    return torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(seed)).double().numpy()


def test_frames_go_from_picture_to_picture_as_diffusers_draws_them(draw, generate, model, tmp_path):
    argv = ("--scheduler", "ddim", "--spacing", "leading")
    frames = draw("-s", "5", "--seed-to", "9", "--prompt-to", "red cat", "--frames", "5", *argv, into="frames")
    assert [path.name for path in frames] == [f"0000{i}_seed{seed}.png" for i, seed in enumerate((5, 5, 5, 5, 9))]
    ends = (*draw("-s", "5", *argv, into="first"), *draw("-s", "9", *argv, into="last", prompt="red cat"))
    assert [frames[0].read_bytes(), frames[-1].read_bytes()] == [path.read_bytes() for path in ends]
    for i in (1, 3):
        mixed = slerp(noise(5), noise(9), i / 4, (1, 2, 3))
        theirs = diffusers_pictures(model, mixed, prompt="a dog", prompt_to="red cat", share=i / 4)
        assert np.abs(pixels(frames[i]) - theirs).max() <= 1
    many = draw("-s", "5", "--seed-to", "9", "--prompt-to", "red cat", "--frames", "5", *argv, "--batch-size", "8", into="many")
    ends = (
        *draw("-s", "5", *argv, "--batch-size", "8", into="f8"),
        *draw("-s", "9", *argv, "--batch-size", "8", into="l8", prompt="red cat"),
    )
    assert [many[0].read_bytes(), many[-1].read_bytes()] == [path.read_bytes() for path in ends]
    assert facts(frames[1])["share"] == 0.25 and facts(frames[1])["seed_to"] == 9 and "share" not in facts(frames[4])
    assert generate("--from-image", frames[2], "--verify", "-q")[0] == 0


def test_a_batch_of_frames_is_that_of_single_frames_to_one_level(draw):
    argv = ("-s", "5", "--seed-to", "9", "--prompt-to", "red cat", "--frames", "4", "--scheduler", "euler-a")
    one, many = (draw(*argv, "--batch-size", size, into=size) for size in ("1", "8"))
    assert max(np.abs(pixels(a) - pixels(b)).max() for a, b in zip(one, many, strict=True)) <= 1


@pytest.mark.parametrize("kind", ["strip", "gif"])
def test_the_frames_are_one_file_too(kind, generate, tmp_path):
    argv = ("-s", "5", "--seed-to", "9", "--frames", "3", "--frames-as", kind, "-o", f"{tmp_path}/", *FAST, "--json")
    code, out, err = generate("a dog", "a cat", *argv)
    assert code == 0, err
    paths = json.loads(out)["frames"]
    assert [path.rpartition("/")[2].partition(".")[0] for path in paths] == ["00000-00002", "00003-00005"]
    with Image.open(paths[1]) as sheet:
        assert sheet.n_frames == 3 if kind == "gif" else sheet.width > 3 * 64


def test_a_variation_is_that_of_a1111(draw, model):
    """modules/rng.py of stable-diffusion-webui: columns of the noise, and with several pictures the other seed counts."""
    argv = ("--scheduler", "ddim", "--spacing", "leading")
    paths = draw("-s", "5", "--variation", "9:0.25", "-n", "2", *argv)
    assert [(facts(path)["seed"], facts(path)["variation"]) for path in paths] == [(5, "9:0.25"), (5, "10:0.25")]
    for path, seed in zip(paths, (9, 10), strict=True):
        mixed = slerp(noise(5), noise(seed), 0.25, (2,))
        theirs = diffusers_pictures(model, mixed, prompt="a dog", prompt_to="a dog", share=0)
        assert np.abs(pixels(path) - theirs).max() <= 1
    plain, none = draw("-s", "5", into="plain"), draw("-s", "5", "--variation", "9:0", into="none")
    assert np.array_equal(pixels(plain[0]), pixels(none[0]))
