"""The VAE's loss terms. Each returns a number per picture or a scalar; the caller weighs and adds them."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# B pictures, C latent channels, h w latent size, H W picture size


def kl_to_standard_normal(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) || N(0, 1)) in nats per picture (Kingma & Welling 2014, app. B). Both (B, C, h, w). Returns (B,)."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(dim=(1, 2, 3))


def kl_per_channel(mean: Tensor, logvar: Tensor) -> Tensor:
    """The same KL in nats per latent value, averaged over pictures and places; 0 is a collapsed channel. Returns (C,)."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean(dim=(0, 2, 3))


def reconstruction(decoded: Tensor, pictures: Tensor, kind: str) -> Tensor:
    """Mean absolute ("l1") or squared ("l2") error over pixels and channels. Both (B, 3, H, W) in [-1, 1]. Returns (B,)."""
    error = decoded - pictures
    return (error.abs() if kind == "l1" else error.square()).mean(dim=(1, 2, 3))


def gradient_difference(decoded: Tensor, pictures: Tensor, scales: int = 3) -> Tensor:
    """L1 between horizontal and vertical differences at `scales` resolutions (after Mathieu et al. 2016, sec. 3.2): keeps edges sharp.

    Both (B, 3, H, W). Returns (B,).
    """
    total = decoded.new_zeros(len(decoded))
    error = decoded - pictures  # differences are linear, so the difference of gradients is the gradient of the difference
    for _ in range(scales):
        total = total + error.diff(dim=-1).abs().mean(dim=(1, 2, 3)) + error.diff(dim=-2).abs().mean(dim=(1, 2, 3))
        error = F.avg_pool2d(error, 2)
    return total / scales


JPEG_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Just visible amplitudes of the 64 block frequencies (Wallace 1992, JPEG annex K.1)."""


def dct_difference(decoded: Tensor, pictures: Tensor) -> Tensor:
    """L1 between 8 x 8 block DCT coefficients, each in units of what the eye just sees: needs no feature network.

    Both (B, 3, H, W), H and W multiples of 8. Returns (B,).
    """
    places = torch.arange(8, device=decoded.device, dtype=decoded.dtype)
    waves = torch.cos(math.pi / 8 * (places + 0.5) * places[:, None]) / 2  # orthonormal DCT-II: row u is frequency u
    waves[0] /= math.sqrt(2)
    basis = torch.einsum("uy,vx->uvyx", waves, waves).reshape(64, 1, 8, 8)
    weight = 10 / torch.tensor(JPEG_LUMINANCE, device=decoded.device, dtype=decoded.dtype).reshape(64, 1, 1)  # at most 1
    blocks = F.conv2d((decoded - pictures).flatten(0, 1).unsqueeze(1), basis, stride=8)
    return (blocks * weight).abs().mean(dim=(1, 2, 3)).unflatten(0, (len(decoded), -1)).mean(dim=1)


PERCEPTUAL = {"edges": gradient_difference, "dct": dct_difference}
"""What --perceptual names."""
