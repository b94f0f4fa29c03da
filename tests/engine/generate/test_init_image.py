"""`generate --init-image` and `--mask` against diffusers' pipelines: the same files, prompts and seeds in, pictures out."""

import json
import shutil
import warnings

import diffusers
import numpy as np
import pytest
import torch
from families import SCHEDULER
from PIL import Image, ImageDraw

from ldmcli.diffusion.catalogue import SCHEDULERS, resolve

STEPS, STRENGTHS = 4, (0.3, 0.6, 1.0)
"""One, two and all four of the steps."""
EXTRA = {
    "ddim": {"timestep_spacing": "leading"},
    "ddpm": {"timestep_spacing": "leading"},
    "pndm": {"timestep_spacing": "leading", "skip_prk_steps": True},
    "dpm++2m": {"algorithm_type": "dpmsolver++"},
    "dpm++2m-sde": {"algorithm_type": "sde-dpmsolver++"},
    "unipc": {"solver_type": "bh2"},
}
NAMES = [row.name for row in SCHEDULERS if row.ours]


@pytest.fixture(scope="module")
def small_sd(model, tmp_path_factory):
    """The tiny model with the schedule and the prediction of Stable Diffusion 1.x."""
    folder = shutil.copytree(model, tmp_path_factory.mktemp("small") / "sd")
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({**SCHEDULER, "prediction_type": "epsilon"}))
    return folder


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A picture with something on it, of sides that are no multiples of anything."""
    picture = Image.linear_gradient("L").resize((77, 53)).convert("RGB")
    ImageDraw.Draw(picture).ellipse((15, 8, 50, 43), fill="orange", outline="blue", width=5)
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    picture.save(path)
    return path


@pytest.fixture(scope="module")
def mask(tmp_path_factory):
    """Of another size than the picture: white on its left, with a slanting edge."""
    picture = Image.new("L", (202, 160))
    ImageDraw.Draw(picture).polygon([(0, 0), (120, 0), (70, 160), (0, 160)], fill=255)
    path = tmp_path_factory.mktemp("masks") / "mask.png"
    picture.save(path)
    return path


@pytest.fixture(scope="module")
def pipelines(small_sd):
    """Image to image, and inpainting, of diffusers."""
    first = diffusers.StableDiffusionImg2ImgPipeline.from_pretrained(small_sd, local_files_only=True)
    both = (first, diffusers.StableDiffusionInpaintPipeline(**first.components, requires_safety_checker=False))
    for pipeline in both:
        pipeline.set_progress_bar_config(disable=True)
    return both


def drawn_by_diffusers(pipeline, name, photo, strength, *, seed, **inputs):
    row = resolve(name)
    settings = {"timestep_spacing": "linspace", **EXTRA.get(row.method, {})}
    if row.sigma_space and row.method != "euler-a":
        settings["use_karras_sigmas"] = row.karras
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.scheduler = getattr(diffusers, row.class_name).from_config(pipeline.scheduler.config, **settings)
        pictures = pipeline(
            "a dog", image=Image.open(photo), strength=strength, negative_prompt="red", num_inference_steps=STEPS, guidance_scale=4.0,
            generator=torch.Generator().manual_seed(seed), **inputs,
        ).images  # fmt: skip
    return np.asarray(pictures[0]).astype(int)


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


@pytest.mark.parametrize("name", NAMES)
def test_the_pipelines_make_the_same_of_a_picture_and_of_a_masked_one(name, small_sd, photo, mask, pipelines, ldm, tmp_path):
    masked = {"width": 96, "height": 80}
    lines = [{"strength": strength, **more} for more in ({}, {"mask": str(mask), **masked}) for strength in STRENGTHS]
    (tmp_path / "lines.jsonl").write_text("\n".join(json.dumps({"prompt": "a dog", "init_image": str(photo), **line}) for line in lines))
    shared = ("-s", "9", "--steps", STEPS, "--cfg", "4", "--negative", "red", "--device", "cpu", "-q", "-o", f"{tmp_path}/")
    code, _, err = ldm("generate", "-m", small_sd, "-f", tmp_path / "lines.jsonl", "--scheduler", name, *shared)
    assert code == 0, err
    ours = [np.asarray(Image.open(path)).astype(int) for path in sorted(tmp_path.glob("*.png"))]
    seeds = [json.loads(Image.open(path).text["ldm"])["seed"] for path in sorted(tmp_path.glob("*.png"))]
    far = []
    for line, one, seed in zip(lines, ours, seeds, strict=True):
        inputs = {"mask_image": Image.open(mask), **masked} if "mask" in line else {}
        theirs = drawn_by_diffusers(pipelines["mask" in line], name, photo, line["strength"], seed=seed, **inputs)
        far.append(np.abs(one - theirs).max())
    assert max(far) <= 1, far
    assert ours[0].shape == (48, 72, 3) and np.abs(ours[0] - ours[1]).max() > 2  # the picture's size, and two pictures
