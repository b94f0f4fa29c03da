"""How much memory drawing will take, from the configs: nothing is run."""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from ldmcli.engine.generate.low_memory import LowMemorySession
from ldmcli.engine.parts import tile_side
from ldmcli.engine.sampling.batch import decoded_at_once
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.engine.session import Session
from ldmcli.errors import OutOfMemory
from ldmcli.networks.file_weights import stays_in_file
from ldmcli.records.notes import Note
from ldmcli.runtime.memory import available_bytes

# B pictures, C channels, h w latent size, H W picture size

UNET_MAPS, VAE_MAPS = 12, 5
"""Feature maps of the finest level that live at once. U-Net: the widened feed-forward layer with its gate (8) and what stands around it;
VAE: input, norm, activation, output and the residual of a ResNet block."""


def unet_bytes(session: Session, settings: SamplingSettings, batch_size: int) -> int:
    """Activations of one call: the skip connections of all levels and the working set of the finest one."""
    config = session.unet.config
    _, height, width = session.latent_shape(settings.width, settings.height)
    skips = sum((config.layers_per_block + 1) * channels / 4**level for level, channels in enumerate(config.block_out_channels))
    values = (skips + UNET_MAPS * config.block_out_channels[0]) * height * width
    rows = batch_size * (2 if any(settings.guided) else 1)
    return int(rows * values * session.unet.conv_in.weight.element_size())


def vae_bytes(session: Session, settings: SamplingSettings, batch_size: int = 1) -> int:
    """Activations while one picture, or one tile of it, or some small ones are decoded, at full resolution in the width of the level
    before."""
    config, (_, height, width) = session.vae.config, session.latent_shape(settings.width, settings.height)
    together = min(batch_size, decoded_at_once(height, width, session.device))
    pixels, widest = settings.width * settings.height, config.block_out_channels[:2][-1]
    side = tile_side(config) * config.downscale
    seen = min(settings.width, side) * min(settings.height, side) if settings.tiled else pixels
    return together * (VAE_MAPS * widest * seen * torch.finfo(next(session.vae.parameters()).dtype).bits // 8 + 2 * 3 * 4 * pixels)


def weights_bytes(network: nn.Module) -> int:
    """Of its parameters in their precision, also where it is away."""
    return sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())


def unpacked_bytes(network: nn.Module) -> int:
    """Of the convolutions whose weights are still in their file: they come into memory with the first call."""
    return sum(weight.numel() * weight.element_size() for weight in network.parameters() if weight.dim() == 4 and stays_in_file(weight))


def needed_bytes(session: Session, settings: SamplingSettings, batch_size: int) -> tuple[int, int]:
    """(weights held at once, what comes on top of what is loaded by now) of the stage that takes the most."""
    text, unet, vae = (weights_bytes(network) for network in (session.text.encoder, session.unet, session.vae))
    walking = unet_bytes(session, settings, batch_size) + unpacked_bytes(session.unet)
    decoding = vae_bytes(session, settings, batch_size) + unpacked_bytes(session.vae)
    if isinstance(session, LowMemorySession):  # nothing is loaded yet
        weights, activations = max(((text, 0), (unet, walking), (vae, decoding)), key=sum)
        return weights, weights + activations
    return text + unet + vae, max(walking, decoding)


def check_memory(session: Session, planned: Sequence[tuple[SamplingSettings, int]], *, force: bool) -> Iterator[Note]:
    """Raise OutOfMemory where the largest of these is estimated to need more than there is; with force that is a warning.

    planned: settings, and how many pictures are drawn with them at a time.
    """
    if not planned:
        return
    weights, more = max((needed_bytes(session, settings, size) for settings, size in planned), key=lambda pair: pair[1])
    free = available_bytes(session.device)
    if more > free:
        where = "GPU memory" if session.device.type == "cuda" else "memory"
        message = (
            f"this is estimated to take {more / 2**30:.1f} GiB more {where} (weights {weights / 2**30:.1f} GiB), and "
            f"{free / 2**30:.1f} GiB are free; a smaller --batch-size, --low-memory, --tiled-decode, --dtype bf16 or a smaller "
            "--size takes less"
        )
        if not force:
            raise OutOfMemory(f"{message}.", hint="--force draws all the same.")
        yield Note(message, warning=True)
