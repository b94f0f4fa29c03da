"""The mean that moves into the biases, the frequencies the eye sees, and channels that say nothing."""

import torch

from ldmcli.autoencoder.centring import centre_latents
from ldmcli.autoencoder.losses import dct_difference, kl_per_channel, kl_to_standard_normal
from ldmcli.networks.configs import VAEConfig
from ldmcli.networks.vae import VAE


def test_centred_latents_decode_to_the_same_pictures():
    torch.manual_seed(0)
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    before = VAE(VAEConfig(**kinds, block_out_channels=(8, 16), norm_num_groups=4)).eval()
    after = VAE(before.config).eval()
    pictures = torch.rand(6, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        posterior = before.encode(pictures)
        after.load_state_dict(centre_latents(before.state_dict(), posterior.mean.mean(dim=(0, 2, 3))))
        moved = after.encode(pictures)
        assert moved.mean.mean(dim=(0, 2, 3)).abs().max() < 1e-6 < posterior.mean.mean(dim=(0, 2, 3)).abs().max()
        torch.testing.assert_close(moved.logvar, posterior.logvar)
        torch.testing.assert_close(after.decode(moved.mean), before.decode(posterior.mean))


def test_an_error_that_is_hard_to_see_costs_less():
    flat = torch.zeros(2, 3, 16, 16)
    checks = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1
    slow = torch.sign(torch.arange(16) - 7.5).expand(16, 16)
    costs = dct_difference(torch.stack([checks.expand(3, -1, -1), slow.expand(3, -1, -1)]), flat)
    assert costs.shape == (2,) and 0 < costs[0] < costs[1]
    assert dct_difference(flat, flat).tolist() == [0, 0]


def test_the_kl_of_a_channel_is_its_share_of_the_whole_and_zero_at_the_prior():
    mean, logvar = torch.randn(2, 5, 3, 4, 4)
    mean[:, 1], logvar[:, 1] = 0, 0
    nats = kl_per_channel(mean, logvar)
    assert nats[1] == 0
    torch.testing.assert_close(nats.sum() * 16, kl_to_standard_normal(mean, logvar).mean())
