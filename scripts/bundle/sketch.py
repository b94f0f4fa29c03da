"""A sketch in the states of a text's last pads: cell by cell of a coarse grid, the latents of the caption's picture in each style.

One state of 192 numbers cannot tell a picture in three styles; sixteen can, and a U-Net finds a cell's look by where it stands. It has to
make latents, and those are no lines in small pixels.
"""

import torch
from sources import STYLES
from text_states import FIRST_OF_SKETCH, SKETCH_CELLS
from torch import Tensor, nn
from torch.nn import functional as F


def cells_of(latents: Tensor) -> Tensor:
    """(..., C, h, w) -> (..., SKETCH_CELLS, values) floats, row by row."""
    side = int(SKETCH_CELLS**0.5)
    rows, columns = latents.shape[-2] // side, latents.shape[-1] // side
    cells = latents.unflatten(-1, (side, columns)).unflatten(-3, (side, rows))  # ..., C, side, rows, side, columns
    return cells.movedim((-4, -2), (-5, -4)).flatten(-3).flatten(-3, -2).float()


class SketchReader(nn.Module):
    """One linear map for all cells, as a U-Net's values are of all tokens. Thrown away when the tower is trained."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.map = nn.Linear(width, len(STYLES) * values)
        self.place = nn.Linear(width, SKETCH_CELLS)

    def loss(self, states: Tensor, last: Tensor, lengths: Tensor, cells: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared error of what the states tell of the styles in which a picture is there, and cross-entropy of which cell each
        stands for: a U-Net's keys are straight lines too. 0 where no sketch was computed.

        states: (B, LENGTH, width), computed up to `last`, (B,); lengths: (B,) of the texts, whose own tokens tell no cell; cells:
        (B, styles, SKETCH_CELLS, values); shown: (B, styles) bool.
        """
        places = torch.arange(FIRST_OF_SKETCH, FIRST_OF_SKETCH + SKETCH_CELLS)
        rows, cell = ((places >= lengths[:, None]) & (places <= last[:, None])).nonzero(as_tuple=True)
        if not len(rows):
            return states.new_zeros(()), states.new_zeros(())
        told = self.map(states[rows, places[cell]]).unflatten(1, (len(STYLES), -1))
        placed = F.cross_entropy(self.place(states[rows, places[cell]]), cell)
        return F.mse_loss(told[shown[rows]], cells[rows, :, cell][shown[rows]]), placed
