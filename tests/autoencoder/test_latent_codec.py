"""The scaling factor is applied in one place, both ways."""

import pytest
import torch

from ldmcli.autoencoder.codec import LatentCodec
from ldmcli.networks.configs import VAEConfig
from ldmcli.networks.vae import VAE

FACTOR = 0.18215


@pytest.fixture(scope="module")
def vae() -> VAE:
    torch.manual_seed(0)
    return VAE(VAEConfig(block_out_channels=(8,), norm_num_groups=4, scaling_factor=FACTOR)).eval().requires_grad_(False)


@pytest.fixture
def codec(vae) -> LatentCodec:
    return LatentCodec(lambda p: ((q := vae.encode(p)).mean, q.std), vae.decode, FACTOR)


def test_scaled_latents_are_those_of_the_network_times_the_factor(codec, vae):
    pictures = torch.randn(2, 3, 8, 8).clamp(-1, 1)
    mean, std = codec.encode(pictures)
    posterior = vae.encode(pictures)
    assert torch.equal(mean, posterior.mean * FACTOR) and torch.equal(std, posterior.std * FACTOR)


def test_decoding_takes_the_factor_out_and_stays_in_range(codec, vae):
    latents = torch.randn(2, 4, 8, 8)
    assert torch.equal(codec.decode(latents * FACTOR), vae.decode(latents * FACTOR / FACTOR).clamp(-1, 1))
    bare = LatentCodec(lambda p: (p, p), lambda z: z, 0.5)
    assert bare.decode(torch.tensor([-1.0, -0.25, 0.5, 7.0])).tolist() == [-1.0, -0.5, 1.0, 1.0]


def test_one_over_the_deviation_gives_latents_of_unit_variance():
    raw = 5 + 3 * torch.randn(4, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    factor = 1 / raw.std().item()
    codec = LatentCodec(lambda _: (raw, torch.zeros_like(raw)), lambda z: z, factor)
    mean, _ = codec.encode(raw)
    assert mean.std().item() == pytest.approx(1, abs=1e-6)
    # No mean is subtracted (Rombach et al. 2022, app. G).
    assert mean.mean().item() == pytest.approx(5 * factor, rel=0.05)
