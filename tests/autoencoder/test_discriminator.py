"""The patch discriminator: what it sees, what it does not mix, and its losses against numbers worked out by hand."""

import pytest
import torch
from torch.nn import functional as F

from ldmcli.autoencoder.discriminator import LARGEST_BALANCE, PatchDiscriminator, balance, fooling_loss, hinge_loss


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return PatchDiscriminator()


def pictures(count, side=64, seed=0):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize(("side", "halvings", "places"), [(64, 3, 6), (256, 3, 30), (24, 3, 1), (16, 2, 2)])
def test_there_is_a_score_for_every_patch(side, halvings, places):
    assert PatchDiscriminator(halvings=halvings, width=32)(pictures(2, side)).shape == (2, 1, places, places)


def test_its_size_is_that_of_the_published_one(network):
    # pix2pix prints 2.769 M for its discriminator of six channels and BatchNorm; three channels fewer are 3 * 64 * 4 * 4 weights fewer.
    assert (sum(p.numel() for p in network.parameters()) + 3072) / 1e6 == pytest.approx(2.769, abs=5e-4)


@pytest.mark.parametrize(("halvings", "patch"), [(3, 70), (2, 34)])
def test_a_score_sees_a_patch_and_no_more(halvings, patch):
    """Convolutions alone: the norms look at the whole picture, so they are taken out."""
    convolutions = torch.nn.Sequential(
        *[m for m in PatchDiscriminator(halvings=halvings, width=32).layers if isinstance(m, torch.nn.Conv2d)]
    )
    seen = torch.zeros(1, 3, 256, 256, requires_grad=True)
    scores = convolutions(seen)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    rows = seen.grad.abs().sum(dim=(0, 1, 3)).nonzero()
    assert rows.max() - rows.min() + 1 == patch


def test_a_score_does_not_depend_on_the_rest_of_the_batch(network):
    many = pictures(6)
    with torch.no_grad():
        torch.testing.assert_close(network(many)[2:3], network(many[2:3]), rtol=0, atol=1e-5)
    assert not any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in network.modules())
    assert not list(network.buffers())


def test_hinge_leaves_alone_what_is_beyond_one():
    assert hinge_loss(torch.tensor([1.5, 3.0]), torch.tensor([-1.0, -7.0])) == 0
    assert hinge_loss(torch.tensor([0.0, 2.0]), torch.tensor([0.5])) == pytest.approx(0.5 * (0.5 + 1.5))
    assert fooling_loss(torch.tensor([1.0, -4.0])) == pytest.approx(1.5)


def test_it_learns_to_tell_noise_from_blur():
    torch.manual_seed(0)
    network = PatchDiscriminator(halvings=2, width=32)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.5, 0.9))
    for seed in range(20):
        real = pictures(4, 32, seed)
        loss = hinge_loss(network(real), network(F.avg_pool2d(real, 3, 1, 1)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unseen = pictures(4, 32, 1000)
    with torch.no_grad():
        assert (network(unseen).mean(dim=(1, 2, 3)) > network(F.avg_pool2d(unseen, 3, 1, 1)).mean(dim=(1, 2, 3))).all()


def test_balanced_losses_pull_equally_hard():
    generator = torch.Generator().manual_seed(0)
    rebuilding, fooling = torch.randn(2, 3, 8, 3, 3, generator=generator)
    fooling = fooling * 37
    torch.testing.assert_close((balance(rebuilding, fooling) * fooling).norm(), rebuilding.norm())
    assert balance(rebuilding, torch.zeros(3)) == LARGEST_BALANCE
    assert balance(torch.zeros(3), fooling) == 0
    assert balance(torch.full((3,), float("nan")), fooling) == 0
