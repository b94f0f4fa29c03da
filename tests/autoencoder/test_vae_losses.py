"""Loss terms of the autoencoder against torch.distributions, diffusers and numbers worked out by hand."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from ldmcli.autoencoder.losses import gradient_difference, kl_to_standard_normal, reconstruction


@pytest.fixture
def posterior() -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and log-variance, (3, 4, 5, 6), float64."""
    generator = torch.Generator().manual_seed(0)
    mean, logvar = torch.randn(2, 3, 4, 5, 6, generator=generator, dtype=torch.float64)
    return mean, 3 * logvar


def test_kl_is_that_of_torch_distributions(posterior):
    mean, logvar = posterior
    wanted = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(0.0, 1.0)).sum(dim=(1, 2, 3))
    torch.testing.assert_close(kl_to_standard_normal(mean, logvar), wanted, rtol=1e-12, atol=0)


def test_kl_is_that_of_diffusers(posterior):
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    mean, logvar = posterior
    wanted = DiagonalGaussianDistribution(torch.cat([mean, logvar], dim=1)).kl()
    torch.testing.assert_close(kl_to_standard_normal(mean, logvar), wanted)


def test_kl_is_zero_for_the_standard_normal_and_nowhere_below():
    zero = torch.zeros(2, 4, 3, 3)
    assert kl_to_standard_normal(zero, zero).tolist() == [0.0, 0.0]
    # One latent of mean 2 and variance e: (4 + e - 1 - 1) / 2 nats.
    one = torch.zeros(1, 1, 1, 1)
    assert kl_to_standard_normal(one + 2, one + 1).item() == pytest.approx((2 + torch.e) / 2)


def test_the_gradient_of_kl_pulls_to_mean_zero_and_variance_one(posterior):
    mean, logvar = (part.clone().requires_grad_() for part in posterior)
    kl_to_standard_normal(mean, logvar).sum().backward()
    torch.testing.assert_close(mean.grad, mean.detach())
    torch.testing.assert_close(logvar.grad, (logvar.detach().exp() - 1) / 2)


def test_reconstruction_is_the_mean_per_picture():
    pictures = torch.zeros(2, 3, 4, 4)
    decoded = pictures.clone()
    decoded[0, 0, 0, 0] = -2.0
    decoded[1] = 0.5
    assert reconstruction(decoded, pictures, "l1").tolist() == pytest.approx([2 / 48, 0.5])
    assert reconstruction(decoded, pictures, "l2").tolist() == pytest.approx([4 / 48, 0.25])


def test_edges_do_not_see_a_shift_in_brightness_but_see_a_lost_edge():
    pictures = torch.zeros(2, 3, 16, 16)
    pictures[1, :, :, 8:] = 1.0
    decoded = pictures + 0.3
    assert gradient_difference(decoded, pictures).abs().max() < 1e-6
    flat = torch.zeros_like(pictures)
    none, lost = gradient_difference(flat, pictures).tolist()
    assert none == 0
    # One vertical edge of height 1 among 15, 7 and 3 horizontal differences at the three scales.
    assert lost == pytest.approx((1 / 15 + 1 / 7 + 1 / 3) / 3)


def test_edges_are_the_difference_of_the_gradients_of_both():
    decoded, pictures = torch.randn(2, 2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    wanted = sum((decoded.diff(dim=d) - pictures.diff(dim=d)).abs().mean(dim=(1, 2, 3)) for d in (-1, -2))
    torch.testing.assert_close(gradient_difference(decoded, pictures, scales=1), wanted)
