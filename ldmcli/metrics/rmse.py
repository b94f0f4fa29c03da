"""Root mean square error."""

from torch import Tensor


def rmse(ours: Tensor, truth: Tensor) -> Tensor:
    """Per picture, in the unit of what is compared. Both (B, C, H, W). Returns (B,) float64."""
    return (ours.double() - truth.double()).square().mean(dim=(1, 2, 3)).sqrt()
