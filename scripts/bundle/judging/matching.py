"""Which thing stands in a half of a picture: every drawing of the data set is laid over it and moved about. Pictures are uint8."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from judging.things import Thing, Wardrobe

SIDES = (30, 32)
"""Pixels of the renderings that are laid over a half of 32 x 64: the least and the most that the data set draws."""


class Matcher:
    """Distances of halves to all drawings on white."""

    def __init__(self, wardrobe: Wardrobe) -> None:
        drawn = {side: wardrobe.all_drawn(side).flatten(1).float() / 255 for side in SIDES}
        self.templates = {side: (pictures, pictures.square().sum(dim=1)) for side, pictures in drawn.items()}
        self.codes = [one.code for one in wardrobe.drawings]
        self.places: dict[str, list[int]] = {}
        for row, code in enumerate(self.codes):
            self.places.setdefault(code, []).append(row)

    def distances(self, halves: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, drawings): the least RMSE over sizes and positions, with white where the rendering is not.

        What lies outside of the rendering counts as well, so that a small patch that fits does not win.
        """
        return torch.stack([self._distance(half) for half in halves.float() / 255])

    def _distance(self, half: Tensor) -> Tensor:
        from_white = (1 - half).square().sum()
        best = torch.full((len(self.codes),), torch.inf)
        for side, (templates, power) in self.templates.items():
            windows = F.unfold(half[None], side, stride=1)[0].T  # (positions, 3 * side * side)
            inside = power - 2 * windows @ templates.T  # and the window's own power
            outside = from_white + (2 * windows - 1).sum(dim=1, keepdim=True)  # less the window's distance from white, and that power
            best = torch.minimum(best, (inside + outside).amin(dim=0))
        return (best.clamp(min=0) / half.numel()).sqrt()

    def to_thing(self, distances: Tensor, thing: Thing) -> float:
        """distances: (drawings,) of one half. To the nearest drawing of the thing's emoji."""
        return distances[[row for code in thing.emoji for row in self.places[code]]].min().item()


def halves(pictures: Tensor, *, above: bool) -> Sequence[Tensor]:
    """The left and the right half, or the upper and the lower."""
    return pictures.chunk(2, dim=2 if above else 3)
