"""config.json: what is honoured survives a round trip, what cannot be honoured is refused by name."""

import json

import diffusers
import pytest
import transformers

from ldmcli.errors import LdmError
from ldmcli.networks.configs import CLIPTextConfig, UNetConfig, VAEConfig
from ldmcli.networks.unet import UNet
from ldmcli.networks.vae import VAE

REFUSED = [
    (UNetConfig, "act_fn", "gelu"),
    (UNetConfig, "only_cross_attention", True),
    (UNetConfig, "dual_cross_attention", True),
    (UNetConfig, "class_embed_type", "timestep"),
    (UNetConfig, "addition_embed_type", "text_time"),
    (UNetConfig, "num_class_embeds", 10),
    (UNetConfig, "num_attention_heads", 8),
    (UNetConfig, "mid_block_type", "UNetMidBlock2D"),
    (UNetConfig, "resnet_time_scale_shift", "scale_shift"),
    (UNetConfig, "conv_in_kernel", 5),
    (UNetConfig, "time_cond_proj_dim", 256),
    (UNetConfig, "encoder_hid_dim", 64),
    (UNetConfig, "dropout", 0.1),
    (UNetConfig, "layers_per_block", [1, 2]),
    (UNetConfig, "transformer_layers_per_block", [1, 2, 10, 10]),
    (UNetConfig, "cross_attention_dim", [64, 64]),
    (UNetConfig, "down_block_types", ["AttnDownBlock2D"] * 4),
    (UNetConfig, "up_block_types", ["UpBlock2D"] * 3),
    (UNetConfig, "attention_head_dim", [8, 8]),
    (UNetConfig, "a_key_from_the_future", 3),
    (VAEConfig, "act_fn", "relu"),
    (VAEConfig, "shift_factor", 0.1159),
    (VAEConfig, "latents_mean", [0.1] * 4),
    (VAEConfig, "down_block_types", ["AttnDownEncoderBlock2D"]),
    (VAEConfig, "up_block_types", ["UpDecoderBlock2D"] * 3),
    (VAEConfig, "scaling_factor", 0),
    (VAEConfig, "scaling_factor", -0.18215),
    (VAEConfig, "scaling_factor", float("nan")),
    (VAEConfig, "scaling_factor", float("inf")),
    (VAEConfig, "scaling_factor", "0.18215"),
    (VAEConfig, "scaling_factor", None),
    (CLIPTextConfig, "hidden_act", "relu"),
    (CLIPTextConfig, "dropout", 0.1),
    (CLIPTextConfig, "use_attention_mask", True),
]


@pytest.mark.parametrize(("config", "key", "value"), REFUSED, ids=[f"{c.CLASS_NAME} {k}={v}" for c, k, v in REFUSED])
def test_a_value_that_we_cannot_honour_is_refused_by_name(config, key, value):
    with pytest.raises(LdmError) as caught:
        config.from_dict({key: value})
    assert caught.value.exit_code == 1
    assert caught.value.message.startswith(f"{config.CLASS_NAME} config: ")
    assert key in caught.value.message


def test_everything_that_diffusers_writes_by_default_is_accepted():
    """Also the keys that are new since SD v1.4: what is off or at its only value means nothing to us."""
    unet = dict(diffusers.UNet2DConditionModel(block_out_channels=(32,) * 4, cross_attention_dim=8).config)
    assert UNetConfig.from_dict(unet) == UNetConfig(block_out_channels=(32,) * 4, cross_attention_dim=8)
    vae = dict(diffusers.AutoencoderKL().config)
    assert VAEConfig.from_dict(vae) == VAEConfig()
    options = {"vocab_size": 10, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "eos_token_id": 9}
    for written in (transformers.CLIPTextConfig(**options).to_dict(), transformers.CLIPTextConfig(**options).to_diff_dict()):
        assert CLIPTextConfig.from_dict(written) == CLIPTextConfig(**options)


@pytest.mark.parametrize(
    ("config", "network", "reference"),
    [
        (
            UNetConfig(block_out_channels=(32, 32, 64, 64), attention_head_dim=(1, 2, 2, 4), cross_attention_dim=8),
            UNet,
            "UNet2DConditionModel",
        ),
        (VAEConfig(block_out_channels=(32,), scaling_factor=0.9, latent_channels=3, mid_block_add_attention=False), VAE, "AutoencoderKL"),
    ],
    ids=["U-Net", "VAE"],
)
def test_what_we_write_builds_the_same_network_in_diffusers_and_in_ours(config, network, reference):
    written = json.loads(json.dumps(config.to_dict()))
    assert type(config).from_dict(written) == config
    theirs = getattr(diffusers, reference).from_config(written)
    shapes = {key: value.shape for key, value in network(config).state_dict().items()}
    assert {key: value.shape for key, value in theirs.state_dict().items()} == shapes
    assert all(list(theirs.config[k]) == v if isinstance(v, list) else theirs.config[k] == v for k, v in written.items() if k[0] != "_")


def test_the_text_config_states_fp32_and_is_read_by_transformers():
    config = CLIPTextConfig(hidden_size=32, num_attention_heads=2, num_hidden_layers=1, hidden_act="gelu", eos_token_id=7, vocab_size=8)
    written = json.loads(json.dumps(config.to_dict()))
    assert written["dtype"] == "float32"
    theirs = transformers.CLIPTextConfig(**written)
    assert str(theirs.dtype) in ("float32", "torch.float32")
    assert (theirs.hidden_size, theirs.hidden_act, theirs.eos_token_id) == (32, "gelu", 7)
    assert CLIPTextConfig.from_dict(written) == config
