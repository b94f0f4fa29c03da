"""A large picture through the VAE in overlapping tiles that fade into each other, so that memory follows the tile and not the picture."""

from collections.abc import Callable

import torch
from torch import Tensor

# B pictures, C latent channels, h w latent size, H W picture size

OVERLAP = 0.25
"""Of a tile's side: what two neighbours share."""


def decode_in_tiles(decode: Callable[[Tensor], Tensor], latents: Tensor, *, side: int, scale: int) -> Tensor:
    """Equals `tiled_decode` of diffusers' AutoencoderKL; the network sees a tile at a time, so its norms do too, and pixels change.

    decode: (B, C, a, b) -> (B, 3, a scale, b scale); latents: (B, C, h, w); side: of a tile, in latent pixels, at least 4.
    Returns (B, 3, h scale, w scale). Latents no larger than a tile are decoded whole.
    """
    return _in_tiles(decode, latents, side, side * scale)


def encode_in_tiles(encode: Callable[[Tensor], Tensor], pictures: Tensor, *, side: int, scale: int) -> Tensor:
    """Equals `tiled_encode` of diffusers' AutoencoderKL. encode: (B, 3, a scale, b scale) -> (B, K, a, b); side: as in decode_in_tiles.

    pictures: (B, 3, h scale, w scale). Returns (B, K, h, w).
    """
    return _in_tiles(encode, pictures, side * scale, side)


def _in_tiles(network: Callable[[Tensor], Tensor], x: Tensor, side: int, side_after: int) -> Tensor:
    """side: of a tile of x; side_after: of what the network makes of it."""
    height, width = x.shape[-2:]
    if max(height, width) <= side:
        return network(x)
    stride, blend = int(side * (1 - OVERLAP)), int(side_after * OVERLAP)
    kept = side_after - blend  # of a tile, what no later neighbour fades into
    above: list[Tensor] = []
    rows = []
    for top in range(0, height, stride):
        tiles: list[Tensor] = []
        for number, left in enumerate(range(0, width, stride)):
            tile = network(x[..., top : top + side, left : left + side])
            if above:
                _fade(above[number], tile, blend, dim=-2)
            if tiles:
                _fade(tiles[-1], tile, blend, dim=-1)
            tiles.append(tile)
        rows.append(torch.cat([tile[..., :kept, :kept] for tile in tiles], dim=-1))
        above = tiles
    return torch.cat(rows, dim=-2)


def _fade(before: Tensor, tile: Tensor, extent: int, *, dim: int) -> None:
    """Linearly from the end of `before` into the beginning of `tile`, in place."""
    extent = min(before.shape[dim], tile.shape[dim], extent)
    shape = [1, 1, 1, 1]
    shape[dim] = extent
    share = (torch.arange(extent, device=tile.device, dtype=torch.float32) / extent).to(tile.dtype).view(shape)
    end, start = before.narrow(dim, before.shape[dim] - extent, extent), tile.narrow(dim, 0, extent)
    start.copy_(end * (1 - share) + start * share)
