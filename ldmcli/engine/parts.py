"""The parts of a model and how they fit: the codec of a VAE, and whether U-Net, VAE and text belong together."""

import torch
from torch import Tensor

from ldmcli.autoencoder.codec import LatentCodec
from ldmcli.autoencoder.tiling import decode_in_tiles, encode_in_tiles
from ldmcli.errors import LdmError, NonFinite
from ldmcli.models.text import TextConditioner
from ldmcli.networks.configs import VAEConfig
from ldmcli.networks.unet import UNet
from ldmcli.networks.vae import VAE, Posterior

SMALLEST_TILE = 256
"""Pixels along a tile's side, where the VAE was trained on smaller pictures: seams cost more than the memory that smaller tiles save."""


def tile_side(config: VAEConfig) -> int:
    """Side of a tile in latent pixels: the size that the VAE was trained on, as in diffusers, but at least SMALLEST_TILE."""
    size = config.sample_size if isinstance(config.sample_size, int) else max(config.sample_size)
    return max(size, SMALLEST_TILE) // config.downscale


def make_codec(vae: VAE, *, tiled: bool = False) -> LatentCodec:
    """The codec of a VAE, with the scaling factor of its config."""

    def encode(pictures: Tensor) -> tuple[Tensor, Tensor]:
        if not tiled:
            posterior = vae.encode(pictures)
            return posterior.mean, posterior.std

        def mean_logvar(tile: Tensor) -> Tensor:
            return torch.cat([(posterior := vae.encode(tile)).mean, posterior.logvar], dim=1)

        both = encode_in_tiles(mean_logvar, pictures, side=tile_side(vae.config), scale=vae.config.downscale)
        posterior = Posterior(*both.chunk(2, dim=1))
        return posterior.mean, posterior.std

    def decode(latents: Tensor) -> Tensor:
        if tiled:
            pictures = decode_in_tiles(vae.decode, latents, side=tile_side(vae.config), scale=vae.config.downscale)
        else:
            pictures = vae.decode(latents)
        if not pictures.isfinite().all():  # asked here, because the codec's clamp turns infinity into plain black or white
            raise NonFinite("the decoded picture holds NaN or infinity.", hint="Try --dtype fp32.")
        return pictures

    return LatentCodec(encode, decode, vae.config.scaling_factor)


def check_fit(unet: UNet, vae: VAE, text: TextConditioner) -> None:
    """Raise LdmError unless the three parts belong together."""
    if unet.config.in_channels != vae.config.latent_channels:
        raise LdmError(
            f"the U-Net takes {unet.config.in_channels} latent channels and the VAE makes {vae.config.latent_channels}; "
            "they do not belong together."
        )
    if unet.config.cross_attention_dim != text.encoder.config.hidden_size:
        raise LdmError(
            f"the U-Net attends to text of width {unet.config.cross_attention_dim}, "
            f"the text encoder's is {text.encoder.config.hidden_size}."
        )
