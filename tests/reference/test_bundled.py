"""The model that ships, in diffusers: an ordinary folder, the same pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline
from PIL import Image
from safetensors import safe_open

from ldmcli.diffusion.noise import noise_for
from ldmcli.models.source import BUNDLED
from ldmcli.networks.configs import CLIPTextConfig, UNetConfig, VAEConfig

MAX_BYTES = 40_000_000


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    loaded = StableDiffusionPipeline.from_pretrained(BUNDLED)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def drawn_by_ldm(folder: Path, scheduler: str) -> np.ndarray:
    from ldmcli.cli import main

    target = folder / f"{scheduler}.png"
    options = ["--seed", "3", "--cfg", "4", "--steps", "6", "--scheduler", scheduler, "--no-sigma-clip", "-q", "-o", str(target)]
    assert main(["generate", "a dog", *options]) == 0
    return np.asarray(Image.open(target), dtype=int)


@pytest.mark.parametrize("scheduler, theirs", [("ddim", DDIMScheduler), ("dpm++2m", DPMSolverMultistepScheduler)])
def test_diffusers_draws_the_same_picture_from_the_bundled_folder(pipeline, tmp_path, scheduler, theirs):
    spacing = {"ddim": "leading", "dpm++2m": "linspace"}[scheduler]
    pipeline.scheduler = theirs.from_config(pipeline.scheduler.config, timestep_spacing=spacing)
    latents = noise_for([3], (pipeline.unet.config.in_channels, 8, 8))
    picture = pipeline("a dog", num_inference_steps=6, guidance_scale=4.0, latents=latents).images[0]
    assert abs(np.asarray(picture, dtype=int) - drawn_by_ldm(tmp_path, scheduler)).max() <= 2


def test_all_bundled_files_together_stay_small():
    assert sum(path.stat().st_size for path in BUNDLED.rglob("*") if path.is_file()) <= MAX_BYTES


@pytest.mark.parametrize("weights", sorted(BUNDLED.rglob("*.safetensors")), ids=lambda path: path.parent.name)
def test_bundled_weights_are_half_precision_and_finite(weights):
    with safe_open(weights, "pt") as file:
        for key in file.keys():
            tensor = file.get_tensor(key)
            assert tensor.dtype == torch.float16 and tensor.isfinite().all(), key


@pytest.mark.parametrize("name, config", [("vae", VAEConfig), ("unet", UNetConfig), ("text_encoder", CLIPTextConfig)])
def test_our_config_classes_read_every_key_of_the_bundled_configs(name, config):
    config.from_dict(json.loads((BUNDLED / name / "config.json").read_text()))


def test_the_bundled_vae_states_the_scaling_factor_that_was_measured_for_it(pipeline):
    assert pipeline.vae.config.scaling_factor != 0.18215
    assert pipeline.text_encoder.dtype == torch.float32
