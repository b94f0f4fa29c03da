"""Colours and places, read off a picture's pixels. Pictures are (N, 3, H, W) uint8."""

from collections.abc import Sequence

import composition
import torch
from torch import Tensor

BORDER = 3
"""Pixels along the edge that show the background."""
FOREGROUND = 0.15
"""A pixel belongs to the thing from this distance on to the background, pixels from 0 to 1."""
BIG = 0.62
"""Of the picture's side: the longer side of what is drawn larger than this is big."""
COLOURFUL = 0.25
"""Least saturation at which a pixel has a hue worth asking for."""


def border_colours(pictures: Tensor, part: str = "all") -> list[str]:
    """The named background nearest to the mean colour of the edge. part: all, or what lies in the left, right, top or bottom third."""
    height, width = pictures.shape[-2:]
    edge = torch.zeros(height, width, dtype=torch.bool)
    edge[:BORDER] = edge[-BORDER:] = True
    edge[:, :BORDER] = edge[:, -BORDER:] = True
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None]
    within = {
        "left": columns < width // 3,
        "right": columns >= width - width // 3,
        "top": rows < height // 3,
        "bottom": rows >= height - height // 3,
    }
    if part != "all":
        edge &= within[part]
    means = pictures[..., edge].float().mean(dim=-1)
    names = list(composition.BACKGROUNDS)
    palette = torch.tensor([composition.BACKGROUNDS[name] for name in names], dtype=torch.float32)
    return [names[i] for i in torch.cdist(means, palette).argmin(dim=1).tolist()]


def centres(pictures: Tensor) -> Tensor:
    """Where the thing on white lies: its centre of mass in shares of the sides, (N, 2) as x, y; the middle where nothing is drawn."""
    height, width = pictures.shape[-2:]
    weight = (1 - pictures.float() / 255).amax(dim=1)
    weight = torch.where(weight > FOREGROUND, weight, 0)
    total = weight.sum(dim=(1, 2)).clamp(min=1e-6)
    x = (weight.sum(dim=1) * (torch.arange(width) + 0.5) / width).sum(dim=1) / total
    y = (weight.sum(dim=2) * (torch.arange(height) + 0.5) / height).sum(dim=1) / total
    found = weight.sum(dim=(1, 2)) > 0
    return torch.where(found[:, None], torch.stack([x, y], dim=1), 0.5)


def nearest_places(pictures: Tensor) -> list[str]:
    """The named place nearest to the thing's centre."""
    names = list(composition.PLACES)
    spots = torch.tensor([[composition.PLACES[name].x, composition.PLACES[name].y] for name in names])
    return [names[i] for i in torch.cdist(centres(pictures), spots).argmin(dim=1).tolist()]


def on_white(pictures: Tensor, colours: Sequence[str]) -> Tensor:
    """The pictures with what is near to the named background, one for each, made white."""
    grounds = torch.tensor([composition.BACKGROUNDS[name] for name in colours], dtype=torch.float32)[..., None, None]
    near = (pictures.float() - grounds).abs().amax(dim=1, keepdim=True) < 255 * FOREGROUND
    return torch.where(near, 255, pictures)


def extents(pictures: Tensor) -> list[float]:
    """The longer side of what is drawn on white, in shares of the picture's; 0 where nothing is."""
    drawn = (1 - pictures.float() / 255).amax(dim=1) > FOREGROUND
    return [max(_length(picture.any(dim=0)), _length(picture.any(dim=1))) for picture in drawn]


def _length(line: Tensor) -> float:
    """From the first true to the last, in shares of the whole."""
    (places,) = line.nonzero(as_tuple=True)
    return (int(places[-1] - places[0]) + 1) / len(line) if len(places) else 0.0


def main_hues(pictures: Tensor) -> list[str | None]:
    """The named hue that most of the colourful pixels are nearest to, weighed by saturation; None where none is colourful."""
    rgb = pictures.float() / 255
    top, low = rgb.amax(dim=1), rgb.amin(dim=1)
    chroma = top - low
    saturation = chroma / top.clamp(min=1e-6)
    red, green, blue = rgb.unbind(dim=1)
    safe = chroma.clamp(min=1e-6)
    sector = torch.where(
        top == red, ((green - blue) / safe) % 6, torch.where(top == green, (blue - red) / safe + 2, (red - green) / safe + 4)
    )
    names = list(composition.HUES)
    away = (60 * sector[..., None] - torch.tensor([composition.HUES[name] for name in names], dtype=torch.float32)).abs() % 360
    nearest = torch.minimum(away, 360 - away).argmin(dim=-1)
    weight = torch.where((saturation > COLOURFUL) & (chroma > FOREGROUND), saturation, 0)
    votes = torch.stack([(weight * (nearest == i)).sum(dim=(1, 2)) for i in range(len(names))], dim=1)
    return [names[i] if best > 0 else None for best, i in zip(*(x.tolist() for x in votes.max(dim=1)), strict=True)]
