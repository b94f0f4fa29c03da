"""Peak signal-to-noise ratio."""

from torch import Tensor


def psnr(ours: Tensor, truth: Tensor, span: float = 2.0) -> Tensor:
    """10 log10(span^2 / mean squared error) in dB, per picture. Both (B, C, H, W); span: largest possible difference. Returns (B,)."""
    error = (ours.double() - truth.double()).square().mean(dim=(1, 2, 3))
    return 10 * (span**2 / error.clamp(min=1e-20)).log10()
