"""Peak signal-to-noise ratio."""

from torch import Tensor
from torch.nn import functional as F


def psnr(ours: Tensor, truth: Tensor, span: float = 2.0) -> Tensor:
    """10 log10(span^2 / mean squared error) in dB, per picture. Both (B, C, H, W); span: largest possible difference. Returns (B,)."""
    error = (ours.double() - truth.double()).square().mean(dim=(1, 2, 3))
    return 10 * (span**2 / error.clamp(min=1e-20)).log10()


def block_mean(pictures: Tensor, side: int) -> Tensor:
    """Every block of side x side pixels in its mean colour: what an autoencoder must beat. (B, C, H, W), H and W multiples of side."""
    return F.interpolate(F.avg_pool2d(pictures, side), scale_factor=side)
