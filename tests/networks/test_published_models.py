"""The models people have: SD v1.4 and SD 2.1 in their published shapes, built without memory on the meta device."""

from functools import cache

import diffusers
import pytest
import torch
import transformers

from ldmcli.networks.attention import TextContext
from ldmcli.networks.clip_text import CLIPText
from ldmcli.networks.configs import CLIPTextConfig, UNetConfig, VAEConfig
from ldmcli.networks.unet import UNet
from ldmcli.networks.vae import VAE

# config.json of CompVis/stable-diffusion-v1-4, as published.
SD14_UNET = {
    "_class_name": "UNet2DConditionModel",
    "_diffusers_version": "0.12.0.dev0",
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "class_embed_type": None,
    "cross_attention_dim": 768,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "downsample_padding": 1,
    "dual_cross_attention": False,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "num_class_embeds": None,
    "only_cross_attention": False,
    "out_channels": 4,
    "resnet_time_scale_shift": "default",
    "sample_size": 64,
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "upcast_attention": False,
    "use_linear_projection": False,
}
SD14_VAE = {
    "_class_name": "AutoencoderKL",
    "_diffusers_version": "0.2.2",
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "out_channels": 3,
    "sample_size": 512,
    "scaling_factor": 0.18215,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
SD14_TEXT = {
    "_name_or_path": "openai/clip-vit-large-patch14",
    "architectures": ["CLIPTextModel"],
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "dropout": 0.0,
    "eos_token_id": 2,
    "hidden_act": "quick_gelu",
    "hidden_size": 768,
    "initializer_factor": 1.0,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77,
    "model_type": "clip_text_model",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 1,
    "torch_dtype": "float32",
    "transformers_version": "4.21.0.dev0",
    "vocab_size": 49408,
}
# What SD 2.1 changes.
SD21_UNET = SD14_UNET | {
    "attention_head_dim": [5, 10, 20, 20],
    "cross_attention_dim": 1024,
    "sample_size": 96,
    "upcast_attention": True,
    "use_linear_projection": True,
}
SD21_TEXT = SD14_TEXT | {
    "hidden_act": "gelu",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 23,
    "projection_dim": 512,
}

MODELS = {
    "SD 1.4 U-Net": (UNet, UNetConfig, diffusers.UNet2DConditionModel, SD14_UNET, 859.52),
    "SD 2.1 U-Net": (UNet, UNetConfig, diffusers.UNet2DConditionModel, SD21_UNET, 865.91),
    "SD 1.4 VAE": (VAE, VAEConfig, diffusers.AutoencoderKL, SD14_VAE, 83.65),
    "SD 1.4 text encoder": (CLIPText, CLIPTextConfig, transformers.CLIPTextModel, SD14_TEXT, 123.06),
    "SD 2.1 text encoder": (CLIPText, CLIPTextConfig, transformers.CLIPTextModel, SD21_TEXT, 340.39),
}


@cache
def ours_of(row):
    """Our network, without memory; to be called only."""
    network, config, _, published, _ = MODELS[row]
    with torch.device("meta"):
        return network(config.from_dict(published))


@pytest.mark.parametrize("row", MODELS)
def test_keys_shapes_and_parameter_counts_are_the_published_ones(row):
    *_, reference, published, millions = MODELS[row]
    ours = ours_of(row)
    with torch.device("meta"):
        if reference is transformers.CLIPTextModel:
            theirs = reference(transformers.CLIPTextConfig(**published))
        else:
            theirs = reference.from_config(published)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    assert round(sum(p.numel() for p in ours.parameters()) / 1e6, 2) == millions


@pytest.mark.parametrize("size", [(64, 64), (60, 45)])
def test_sd14_answers_in_the_shape_of_its_latents(size):
    with torch.device("meta"):
        latents, text = torch.empty(2, 4, *size), torch.empty(2, 77, 768)
        assert ours_of("SD 1.4 U-Net")(latents, torch.empty(2), TextContext(text)).shape == latents.shape
        vae = ours_of("SD 1.4 VAE")
        pictures = vae.decode(latents)
        assert pictures.shape == (2, 3, 8 * size[0], 8 * size[1])
        assert vae.encode(pictures).mean.shape == latents.shape
    assert vae.config.downscale == 8
