"""The inference copies against the plain networks: the same weights, the same answers."""

import copy

import pytest
import torch
from torch.nn import functional as F

from ldmcli.models.loading import load_text_encoder, load_unet, load_vae
from ldmcli.models.source import BUNDLED
from ldmcli.networks import inference, packed, winograd
from ldmcli.networks.attention import TextContext
from ldmcli.networks.configs import UNetConfig, VAEConfig
from ldmcli.networks.inference import InferenceDecoder, InferenceUNet
from ldmcli.networks.unet import UNet
from ldmcli.networks.vae import VAE

pytestmark = pytest.mark.skipif(not packed.can_pack(), reason="this torch lacks the operations that the copies are made of")

TOLERANCE = 1e-5
"""Of the largest number of the answer."""

SD_1 = {
    "block_out_channels": (32, 64, 128, 128),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "layers_per_block": 2,
    "cross_attention_dim": 24,
    "attention_head_dim": 8,
}
KINDS = {
    "SD 1.x": SD_1,
    "SD 2.x": {**SD_1, "attention_head_dim": (1, 2, 4, 4), "use_linear_projection": True, "upcast_attention": True},
    "bundled": {
        "block_out_channels": (32, 64),
        "down_block_types": ("CrossAttnDownBlock2D",) * 2,
        "up_block_types": ("CrossAttnUpBlock2D",) * 2,
        "layers_per_block": 1,
        "cross_attention_dim": 24,
        "attention_head_dim": 4,
    },
    "attention late, two layers, centred": {
        "block_out_channels": (32, 64),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "cross_attention_dim": 24,
        "attention_head_dim": 4,
        "transformer_layers_per_block": 2,
        "center_input_sample": True,
    },
}
SIZES = {"a square": (8, 8), "odd sides": (9, 11)}


def noise(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_values(network):
    """In norms and biases too."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def pairs():
    """Every kind as (plain, its copy)."""
    plain = {name: random_values(UNet(UNetConfig(**options))) for name, options in KINDS.items()}
    return {name: (unet, InferenceUNet(unet)) for name, unet in plain.items()}


@pytest.fixture(params=["as here", "oneDNN", "MKL"])
def kernels(request, monkeypatch):
    """Both kinds of product, whatever the processor."""
    if request.param != "as here":
        monkeypatch.setattr(packed, "onednn_is_faster", lambda: request.param == "oneDNN")


@torch.no_grad()
def close(ours, theirs):
    assert ours.shape == theirs.shape and ours.isfinite().all()
    assert (ours - theirs).abs().max() <= TOLERANCE * theirs.abs().max()


def inputs(rows, size, *, guided, masked=False):
    """Latents, timesteps and context of a call; guided: the second half is the first one with another text."""
    latents = noise(rows, 4, *size)
    states, mask = noise(2 * rows if guided else rows, 7, 24, seed=2), None
    if masked:
        mask = torch.arange(7)[None, :] < torch.arange(len(states))[:, None] % 7 + 1
    latents = torch.cat([latents, latents]) if guided else latents
    return latents, torch.tensor(981.0).expand(len(latents)), (states, mask)


@torch.no_grad()
def compare(plain, ours, latents, timesteps, text):
    wanted = plain(latents, timesteps, TextContext(*text))
    context = TextContext(*text, remember=True)
    for _ in range(2):  # with keys and values still to be made, and kept
        close(ours(latents, timesteps, context), wanted)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guided", [False, True], ids=["unguided", "guided"])
def test_a_copy_answers_as_the_plain_network_for_any_batch(pairs, kind, size, guided):
    for rows in (1, 2, 8):  # one copy for all: it is packed for the first
        compare(*pairs[kind], *inputs(rows, SIZES[size], guided=guided))


@pytest.mark.parametrize("kind", KINDS)
def test_with_either_kind_of_product(pairs, kind, kernels):
    plain = pairs[kind][0]
    compare(plain, InferenceUNet(plain), *inputs(2, (8, 8), guided=True))


@pytest.mark.parametrize("guided", [False, True], ids=["unguided", "guided"])
def test_under_a_text_mask(pairs, guided):
    compare(*pairs["bundled"], *inputs(2, (8, 8), guided=guided, masked=True))


@pytest.mark.parametrize("size", [(8, 8), (9, 11), (1, 1), (3, 2)])
@pytest.mark.parametrize("added", [False, True])
def test_winograds_convolution_rounds_no_worse_than_the_plain_one(size, added):
    x, weight, bias, more = noise(3, 24, *size), noise(40, 24, 3, 3, seed=2), noise(40, seed=3), noise(3, 40, *size, seed=4)
    exact = F.conv2d(x.double(), weight.double(), bias.double(), padding=1) + (more.double() if added else 0)
    x, more = (value.contiguous(memory_format=torch.channels_last) for value in (x, more))
    ours = winograd.convolve(x, winograd.transformed(weight), bias, more if added else None)
    assert (ours - exact).abs().max() <= 2e-6 * exact.abs().max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_with_winograds_convolutions(pairs, kind, size, monkeypatch):
    monkeypatch.setattr(winograd, "pays", lambda x, weight: True)
    plain, ours = pairs[kind][0], InferenceUNet(pairs[kind][0])
    for rows in (2, 1):
        compare(plain, ours, *inputs(rows, SIZES[size], guided=True))
    assert ours.mid_block.resnets[0].conv1.spread is not None and ours.down_blocks[0].downsamplers[0].spread is None
    assert sum(parameter.numel() for parameter in ours.parameters()) == sum(parameter.numel() for parameter in plain.parameters())


def test_it_is_chosen_for_many_tiles_and_wide_layers_only():
    def pays(rows, side, inputs, outputs):
        return winograd.pays(torch.empty(rows, inputs, side, side, device="meta"), torch.empty(outputs, inputs, 3, 3, device="meta"))

    assert pays(16, 4, 384, 192) and pays(2, 16, 640, 640) and pays(3, 9, 192, 192)
    assert not (pays(2, 4, 384, 192) or pays(16, 8, 128, 128) or pays(2, 16, 1280, 1280))


@pytest.mark.parametrize("masked", [False, True], ids=["all tokens", "a mask"])
def test_long_sequences_go_through_the_fused_kernel(pairs, monkeypatch, masked):
    monkeypatch.setattr("ldmcli.networks.inference_layers.SHORT", 0)
    compare(*pairs["bundled"], *inputs(2, (8, 8), guided=True, masked=masked))


def test_pictures_with_timesteps_of_their_own(pairs):
    latents, _, text = inputs(2, (8, 8), guided=False)
    compare(*pairs["SD 1.x"], latents, torch.tensor([3.0, 981.0]), text)


def test_halves_that_differ_are_both_computed(pairs):
    latents, timesteps, text = inputs(2, (8, 8), guided=True)
    latents[3] += 1
    compare(*pairs["bundled"], latents, timesteps, text)


def test_expected_timesteps_are_embedded_once(pairs, monkeypatch):
    plain, ours = pairs["bundled"]
    timesteps = torch.tensor([981.0, 500.5, 3.0])
    ours.expect(timesteps)
    monkeypatch.setattr(ours, "embed_time", lambda timesteps: pytest.fail("embedded again"))
    latents, _, text = inputs(1, (8, 8), guided=True)
    for t in timesteps:
        compare(plain, ours, latents, t.expand(2), text)


def test_the_first_half_is_computed_once_up_to_the_text(pairs):
    ours, seen = pairs["bundled"][1], []
    hook = ours.down_blocks[0].resnets[0].register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    compare(*pairs["bundled"], *inputs(2, (8, 8), guided=True))
    hook.remove()
    assert seen == [2, 2]


def test_the_plain_network_is_left_as_it_was(pairs):
    plain = copy.deepcopy(pairs["SD 2.x"][0])
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    ours = InferenceUNet(plain)
    compare(plain, ours, *inputs(1, (8, 8), guided=True))
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())
    count = sum(parameter.numel() for parameter in plain.parameters())
    assert count == sum(parameter.numel() for parameter in ours.parameters())
    assert ours.config == plain.config and ours.conv_in.weight.dtype == torch.float32
    assert {name for name, _ in plain.named_children()} <= {name for name, _ in ours.named_children()}


def test_no_weight_is_held_twice_once_the_plain_network_is_dropped(pairs):
    plain = copy.deepcopy(pairs["SD 1.x"][0])
    kept = {value.data_ptr() for name, value in plain.named_parameters() if value.dim() > 1 and "time_embedding" not in name}
    ours = InferenceUNet(plain)
    compare(plain, ours, *inputs(1, (8, 8), guided=True))
    assert not kept & {value.data_ptr() for value in ours.parameters() if not value.is_mkldnn}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("attention", [True, False], ids=["attention", "no attention"])
def test_the_decoder(size, attention, kernels):
    levels = {"block_out_channels": (16, 32), "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    vae = random_values(VAE(VAEConfig(**levels, norm_num_groups=8, mid_block_add_attention=attention)))
    ours = InferenceDecoder(vae.decoder)
    for rows in (1, 3):
        close(ours(noise(rows, 4, *SIZES[size])), vae.decoder(noise(rows, 4, *SIZES[size])))


@torch.no_grad()
def test_the_bundled_decoder_rounds_as_the_plain_one_whatever_the_latents():
    plain, ours, exact = load_vae(BUNDLED), load_vae(BUNDLED), load_vae(BUNDLED).double()
    inference.prepare_decoder(ours)
    for seed in range(6):  # torch's channels-last group norm is wrong by 4e-5 for the first, and by less than 1e-5 for the second
        latents = noise(1, 16, 8, 8, seed=seed)
        close(ours.decode(latents).double(), exact.decode(latents.double()))
        close(ours.decode(latents), plain.decode(latents))


@torch.no_grad()
def test_the_bundled_model():
    unet, vae, text = load_unet(BUNDLED), load_vae(BUNDLED), load_text_encoder(BUNDLED)
    latents = noise(1, unet.config.in_channels, 8, 8).repeat(2, 1, 1, 1)
    ids = torch.randint(0, 100, (2, text.config.max_position_embeddings), generator=torch.Generator().manual_seed(3))
    states, pixels = text(ids), vae.decode(latents)
    compare(unet, InferenceUNet(unet), latents, torch.tensor(981.0).expand(2), (states, None))
    inference.prepare_text(text)
    inference.prepare_decoder(vae)
    close(text(ids), states)
    close(vae.decode(latents), pixels)


@pytest.mark.parametrize("name", ["_convolution_pointwise", "_linear_pointwise", "_reorder_linear_weight"])
def test_a_torch_without_the_operations_runs_the_plain_network(pairs, monkeypatch, name):
    class Without:
        def __getattr__(self, asked):
            if asked == name:
                raise AttributeError(asked)
            return getattr(whole, asked)

    whole, plain = torch.ops.mkldnn, pairs["bundled"][0]
    monkeypatch.setattr(torch.ops, "mkldnn", Without())
    vae = VAE(VAEConfig())
    decoder = vae.decoder
    inference.prepare_decoder(vae)
    assert inference.inference_unet(plain) is plain and vae.decoder is decoder
