"""--init: going on from the U-Net or the VAE of another model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from runs import config_for

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.generate.run import run_generate
from ldmcli.engine.train.initial_weights import initial_notes, initial_unet, load_frozen, resolve_parts
from ldmcli.engine.train.trainable import select_trainable
from ldmcli.engine.train.vae import train_vae
from ldmcli.errors import LdmError
from ldmcli.metrics.psnr import psnr
from ldmcli.models.loading import load_unet, load_vae
from ldmcli.models.saving import save_component
from ldmcli.models.source import find_model
from ldmcli.networks.configs import UNetConfig, VAEConfig
from ldmcli.networks.unet import UNet
from ldmcli.networks.vae import VAE
from ldmcli.records.notes import Note


def test_the_unet_starts_with_the_weights_and_the_shape_of_the_named_model(coco, model, tmp_path):
    config = config_for("unet", coco, model, tmp_path, init=str(model), channels=(64, 96))
    frozen = load_frozen(config)
    unet, named = initial_unet(config, frozen), load_unet(model)
    assert unet.config == named.config
    unet = select_trainable(config, unet, frozen).network
    assert unet.training and all(parameter.requires_grad for parameter in unet.parameters())
    found = unet.state_dict()
    for key, value in named.state_dict().items():
        assert torch.equal(found[key], value), key


def test_without_init_the_unet_is_new_and_shaped_by_the_options(coco, model, tmp_path):
    config = config_for("unet", coco, model, tmp_path, channels=(64, 96))
    assert initial_unet(config, load_frozen(config)).config.block_out_channels == (64, 96)


def test_a_unet_for_other_latents_is_refused(coco, model, tmp_path):
    other = UNet(UNetConfig(**{**load_unet(model).config.__dict__, "in_channels": 7, "out_channels": 7}))
    save_component(tmp_path / "other", "unet", other.config, other.state_dict())
    config = config_for("unet", coco, model, tmp_path / "run", init=str(tmp_path / "other"))
    with pytest.raises(LdmError, match="7 latent channels"):
        initial_unet(config, load_frozen(config))


def test_a_vae_goes_on_from_the_named_one_whatever_the_shape_options_say(coco, model, tmp_path):
    config = config_for("vae", coco, model, tmp_path / "run", init=str(model), latent_channels=7, lr=1e-12, max_steps=1, ema=0.0)
    list(train_vae(config))
    before, after = load_vae(model), load_vae(tmp_path / "run" / "model")
    assert after.config.latent_channels == before.config.latent_channels != 7
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(
            after.decode(after.encode(pictures).mean), before.decode(before.encode(pictures).mean), rtol=0, atol=1e-4
        )


def drawn_with(model, vae, tmp_path, name):
    """What the U-Net of `model` draws, decoded by another VAE."""
    source, path = find_model(str(model), vae=str(vae)), tmp_path / f"{name}.png"
    list(run_generate(GenerateConfig(prompts=("a red dog",), seed=3, steps=3, output=str(path), device="cpu"), source))
    return torch.from_numpy(np.asarray(Image.open(path)).copy()).float() / 127.5 - 1


@pytest.mark.parametrize("new_scale", [False, True])
def test_the_old_unet_still_fits_a_vae_that_was_trained_on_unless_a_new_scale_is_asked_for(coco, model, tmp_path, new_scale):
    config = config_for("vae", coco, model, tmp_path / "run", init=str(model), lr=1e-9, max_steps=1, ema=0.0, new_scale=new_scale)
    *_, done = events = list(train_vae(config))
    said = [event.text for event in events if isinstance(event, Note) and "latents" in event.text and "scale" in event.text]
    before, after = load_vae(model).config.scaling_factor, load_vae(tmp_path / "run" / "model").config.scaling_factor
    pictures = [drawn_with(model, vae, tmp_path, number) for number, vae in enumerate((model, tmp_path / "run" / "model"))]
    decibel = psnr(pictures[1][None], pictures[0][None]).item()
    assert done.figures["scaling_factor"] == after
    assert len(said) == 1 and ("new scale" in said[0] if new_scale else "its U-Net still fits" in said[0])
    assert (after != before and decibel < 30) if new_scale else (after == before and decibel > 50)


def test_a_vae_without_scaling_factor_goes_on_with_that_of_diffusers_and_it_is_said(coco, model, tmp_path):
    alone = Path(shutil.copytree(model / "vae", tmp_path / "vae"))
    body = json.loads((alone / "config.json").read_text())
    del body["scaling_factor"]
    (alone / "config.json").write_text(json.dumps(body))
    events = list(train_vae(config_for("vae", coco, model, tmp_path / "run", init=str(alone), max_steps=1, ema=0.0)))
    assert any(isinstance(event, Note) and "has no scaling_factor; taken as 0.18215" in event.text for event in events)
    assert load_vae(tmp_path / "run" / "model").config.scaling_factor == 0.18215
    config = resolve_parts(replace(config_for("unet", coco, model, tmp_path / "other"), vae=str(alone)))
    frozen = load_frozen(config)
    assert any("has no scaling_factor" in note.text for note in initial_notes(config, config, frozen, initial_unet(config, frozen)))


def test_a_vae_that_shrinks_by_more_than_the_size_allows_is_refused(coco, model, tmp_path):
    levels = {"down_block_types": ("DownEncoderBlock2D",) * 5, "up_block_types": ("UpDecoderBlock2D",) * 5, "block_out_channels": (8,) * 5}
    vae = VAE(VAEConfig(**levels, layers_per_block=1, norm_num_groups=4))
    save_component(tmp_path / "deep", "vae", vae.config, vae.state_dict())
    with pytest.raises(LdmError, match="--size 40 is not a multiple of 16"):
        list(train_vae(config_for("vae", coco, model, tmp_path / "run", init=str(tmp_path / "deep"), size=40)))
