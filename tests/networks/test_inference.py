"""The inference copies against the plain networks: the same weights, the same answers."""

import copy

import pytest
import torch
from inference_pairs import KINDS, SIZES, close, compare, inputs, noise, random_values

from ldmcli.models.loading import load_text_encoder, load_unet, load_vae
from ldmcli.models.source import BUNDLED
from ldmcli.networks import inference, packed
from ldmcli.networks.configs import VAEConfig
from ldmcli.networks.inference import InferenceDecoder, InferenceUNet
from ldmcli.networks.vae import VAE

pytestmark = pytest.mark.skipif(not packed.can_pack(), reason="this torch lacks the operations that the copies are made of")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guided", [False, True], ids=["unguided", "guided"])
def test_a_copy_answers_as_the_plain_network_for_any_batch(pairs, kind, size, guided):
    for rows in (1, 3):  # one copy for all: it is packed for the first
        compare(*pairs[kind], *inputs(rows, SIZES[size], guided=guided))


@pytest.mark.parametrize("kind", KINDS)
def test_with_either_kind_of_product(pairs, kind, kernels):
    plain = pairs[kind][0]
    compare(plain, InferenceUNet(plain), *inputs(2, (8, 8), guided=True))


@pytest.mark.parametrize("guided", [False, True], ids=["unguided", "guided"])
def test_under_a_text_mask(pairs, guided):
    compare(*pairs["bundled"], *inputs(2, (8, 8), guided=guided, masked=True))


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
    for seed in range(2):  # torch's channels-last group norm is wrong by 4e-5 for the first, and by less than 1e-5 for the second
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
