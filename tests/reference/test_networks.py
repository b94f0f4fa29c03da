"""Our U-Net, VAE and CLIP text tower against diffusers and transformers: the same random weights, the same answers."""

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

TOLERANCE = 1e-5

LEVELS = {
    "block_out_channels": (16, 32),
    "down_block_types": ("CrossAttnDownBlock2D",) * 2,
    "up_block_types": ("CrossAttnUpBlock2D",) * 2,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": 24,
    "attention_head_dim": 4,
}
UNETS = {
    "plain": {},
    "heads per level as a list": {"attention_head_dim": (2, 8)},
    "linear projection": {"use_linear_projection": True},
    "upcast attention": {"upcast_attention": True},
    "two transformer layers": {"transformer_layers_per_block": 2},
    "level without attention": {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    },
    "attention at no level": {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2},
    "two blocks a level": {"layers_per_block": 2},
    "other time embedding": {"flip_sin_to_cos": False, "freq_shift": 1},
    "centred input": {"center_input_sample": True},
    "other epsilon": {"norm_eps": 1e-3},
    # The structure of SD v1.4 and of SD 2.1 at a tenth of the width.
    "SD 1.4": {
        "block_out_channels": (32, 64, 128, 128),
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "cross_attention_dim": 64,
        "attention_head_dim": 8,
    },
    "SD 2.1": {
        "block_out_channels": (32, 64, 128, 128),
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        "layers_per_block": 2,
        "norm_num_groups": 32,
        "cross_attention_dim": 64,
        "attention_head_dim": (1, 2, 4, 4),
        "use_linear_projection": True,
        "upcast_attention": True,
    },
}
SIZES = {"a square": (8, 8), "odd sides": (9, 11)}

VAES = {
    "plain": {},
    "no attention in the middle": {"mid_block_add_attention": False},
    "no quant convolutions": {"use_quant_conv": False, "use_post_quant_conv": False},
    "two blocks a level": {"layers_per_block": 2},
    "eight latent channels": {"latent_channels": 8},
    "one level": {"block_out_channels": (16,), "down_block_types": ("DownEncoderBlock2D",), "up_block_types": ("UpDecoderBlock2D",)},
}

TEXTS = {
    "quick_gelu": {"hidden_act": "quick_gelu"},
    "gelu": {"hidden_act": "gelu"},
    "other epsilon": {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-3},
}


def twins(theirs, ours):
    """Random values everywhere (norms too, which start at one and zero), the same in both; the key sets are compared."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    assert theirs.state_dict().keys() == ours.state_dict().keys()
    ours.load_state_dict(theirs.state_dict())
    return theirs.eval(), ours.eval()


def unet_twins(kind):
    options = {**LEVELS, **UNETS[kind]}
    return twins(diffusers.UNet2DConditionModel(**options), UNet(UNetConfig(**options)))


kept_twins = cache(unet_twins)
"""For tests that change nothing in them."""


def noise(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def close(ours, theirs):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= TOLERANCE


@pytest.fixture(params=["with gradients", "without gradients"])
def grad_mode(request):
    """Our attention takes another path where gradients are recorded."""
    with torch.set_grad_enabled(request.param == "with gradients"):
        yield


ONCE_EACH = [("a square", "with gradients"), ("odd sides", "without gradients")]
"""The size and the path of the attention have nothing to do with each other."""


@pytest.mark.parametrize(("size", "grad_mode"), ONCE_EACH, indirect=["grad_mode"])
@pytest.mark.parametrize("kind", UNETS)
def test_the_unet_equals_diffusers(kind, size, grad_mode):
    theirs, ours = kept_twins(kind)
    latents, text = noise(2, ours.config.in_channels, *SIZES[size]), noise(2, 7, ours.config.cross_attention_dim, seed=2)
    timesteps = torch.tensor([3, 981])
    close(ours(latents, timesteps, TextContext(text)), theirs(latents, timesteps, text).sample)


def test_the_unet_equals_diffusers_under_a_text_mask(grad_mode):
    theirs, ours = kept_twins("plain")
    latents, text, mask = noise(2, 4, 8, 8), noise(2, 7, 24, seed=2), torch.tensor([[1] * 7, [1] * 3 + [0] * 4])
    wanted = theirs(latents, 500, text, encoder_attention_mask=mask).sample
    close(ours(latents, torch.tensor([500, 500]), TextContext(text, mask.bool())), wanted)
    changed = text.clone()
    changed[1, 3:] = 9.0
    close(ours(latents, torch.tensor([500, 500]), TextContext(changed, mask.bool())), wanted)


def test_unet_gradients_equal_those_of_diffusers():
    theirs, ours = unet_twins("plain")
    latents, text, timesteps = noise(2, 4, 8, 8), noise(2, 7, 24, seed=2), torch.tensor([3, 981])
    theirs(latents, timesteps, text).sample.square().mean().backward()
    ours(latents, timesteps, TextContext(text)).square().mean().backward()
    wanted = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        close(parameter.grad, wanted[name].grad)


@pytest.mark.parametrize("kind", VAES)
def test_the_vae_equals_diffusers(kind, grad_mode):
    levels = {"block_out_channels": (16, 32), "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    options = {**levels, "norm_num_groups": 8, **VAES[kind]}
    theirs, ours = twins(diffusers.AutoencoderKL(**options), VAE(VAEConfig(**options)))
    pictures, latents = noise(2, 3, 18, 22), noise(2, ours.config.latent_channels, 9, 11, seed=2)
    posterior, wanted = ours.encode(pictures), theirs.encode(pictures).latent_dist
    close(posterior.mean, wanted.mean)
    close(posterior.logvar, wanted.logvar)
    close(posterior.std, wanted.std)
    close(ours.decode(latents), theirs.decode(latents).sample)
    assert torch.equal(posterior.sample(torch.zeros_like(posterior.mean)), posterior.mean)


def test_an_extreme_log_variance_is_clamped_as_diffusers_does():
    options = {"block_out_channels": (8,), "norm_num_groups": 4}
    theirs, ours = twins(diffusers.AutoencoderKL(**options), VAE(VAEConfig(**options)))
    pictures = noise(1, 3, 8, 8) * 1e4
    with torch.no_grad():
        ours.quant_conv.weight *= 100
        theirs.quant_conv.weight *= 100
        posterior, wanted = ours.encode(pictures), theirs.encode(pictures).latent_dist
    assert posterior.logvar.min() == -30 and posterior.logvar.max() == 20
    close(posterior.logvar, wanted.logvar)


@pytest.fixture
def text_twins(request):
    options = {
        "vocab_size": 60,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 12,
        "eos_token_id": 59,
        **getattr(request, "param", {}),
    }
    theirs = transformers.CLIPTextModel(transformers.CLIPTextConfig(bos_token_id=58, pad_token_id=1, **options))
    return twins(theirs, CLIPText(CLIPTextConfig(**options)))


IDS = torch.tensor([[58, 5, 9, 11, 59, 59, 59, 59], [58, 7, 59, 3, 59, 1, 1, 1]])


@pytest.mark.parametrize("text_twins", TEXTS.values(), ids=TEXTS, indirect=True)
def test_the_text_tower_equals_transformers(text_twins, grad_mode):
    theirs, ours = text_twins
    close(ours(IDS), theirs(IDS).last_hidden_state)


def test_the_text_tower_hides_pads_as_transformers_does(text_twins, grad_mode):
    theirs, ours = text_twins
    mask = torch.tensor([[1] * 5 + [0] * 3, [1] * 3 + [0] * 5])
    close(ours(IDS, mask), theirs(IDS, attention_mask=mask).last_hidden_state)
    assert not torch.allclose(ours(IDS, mask), ours(IDS))


@pytest.mark.parametrize("text_twins", [{"eos_token_id": 59}, {"eos_token_id": 2}], ids=["the real id", "id 2 of old files"], indirect=True)
def test_the_pooled_vector_is_that_of_transformers(text_twins):
    theirs, ours = text_twins
    with torch.no_grad():
        close(ours.pooled(ours(IDS), IDS), theirs(IDS).pooler_output)
