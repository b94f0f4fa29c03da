"""train-unet --init: going on from the U-Net of another model."""

import pytest
import torch
from runs import config_for

from ldmcli.engine.starting_point import load_frozen, starting_unet
from ldmcli.engine.trained import what_trains
from ldmcli.errors import LdmError
from ldmcli.models.loading import load_unet
from ldmcli.networks.configs import UNetConfig
from ldmcli.networks.unet import UNet


def test_the_unet_starts_with_the_weights_and_the_shape_of_the_named_model(coco, model, tmp_path):
    config = config_for("unet", coco, model, tmp_path, init=str(model), channels=(64, 96))
    frozen = load_frozen(config)
    unet, named = starting_unet(config, frozen), load_unet(model)
    assert unet.config == named.config
    unet = what_trains(config, unet, frozen).network
    assert unet.training and all(parameter.requires_grad for parameter in unet.parameters())
    for key, value in named.state_dict().items():
        assert torch.equal(unet.state_dict()[key], value), key


def test_without_init_the_unet_is_new_and_shaped_by_the_options(coco, model, tmp_path):
    config = config_for("unet", coco, model, tmp_path, channels=(64, 96))
    assert starting_unet(config, load_frozen(config)).config.block_out_channels == (64, 96)


def test_a_unet_for_other_latents_is_refused(coco, model, tmp_path):
    from ldmcli.models.saving import save_component

    other = UNet(UNetConfig(**{**load_unet(model).config.__dict__, "in_channels": 7, "out_channels": 7}))
    save_component(tmp_path / "other", "unet", other.config, other.state_dict())
    config = config_for("unet", coco, model, tmp_path / "run", init=str(tmp_path / "other"))
    with pytest.raises(LdmError, match="7 latent channels"):
        starting_unet(config, load_frozen(config))
