"""Pictures to scaled latents and back: the only place that knows the scaling factor."""

from collections.abc import Callable

from torch import Tensor

# B pictures, C latent channels, h w latent size


class LatentCodec:
    """Wraps an autoencoder so that nobody else scales.

    encode: pictures (B, 3, H, W) -> (mean, std), each (B, C, h, w), unscaled; decode: unscaled latents -> pictures.
    scaling_factor: 1 / standard deviation of sampled latents, so that scaled latents have unit variance (Rombach et al. 2022, app. G).
    """

    def __init__(
        self, encode: Callable[[Tensor], tuple[Tensor, Tensor]], decode: Callable[[Tensor], Tensor], scaling_factor: float
    ) -> None:
        self._encode = encode
        self._decode = decode
        self.scaling_factor = scaling_factor

    def encode(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """pictures: (B, 3, H, W) in [-1, 1]. Returns mean and std of the scaled latents, (B, C, h, w) each."""
        mean, std = self._encode(pictures)
        return mean * self.scaling_factor, std * self.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """latents: (B, C, h, w), scaled. Returns pictures (B, 3, H, W) clamped to [-1, 1]."""
        return self._decode(latents / self.scaling_factor).clamp(-1, 1)
