"""The VAE's loss terms. Each returns a number per picture or a scalar; the caller weighs and adds them."""

from torch import Tensor
from torch.nn import functional as F

# B pictures, C latent channels, h w latent size, H W picture size


def kl_to_standard_normal(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp(logvar)) || N(0, 1)) in nats per picture (Kingma & Welling 2014, app. B). Both (B, C, h, w). Returns (B,)."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(dim=(1, 2, 3))


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
