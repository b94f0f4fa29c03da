"""3x3 convolutions with four of nine multiplications (Winograd's F(2x2, 3x3), Lavin & Gray 2016, sec. 4.1).

Every tile of 2x2 outputs sees 4x4 inputs d. With the matrices below, Y = A^T [(G g G^T) * (B^T d B)] A, where the product in the
middle is one of numbers and so, summed over the channels of many tiles, 16 matrix products. All of it is sums and halves: it rounds less
than nine products summed do.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

# B pictures, I and O channels in and out, h w map size, T tiles

B_T = ((1.0, 0.0, -1.0, 0.0), (0.0, 1.0, 1.0, 0.0), (0.0, -1.0, 1.0, 0.0), (0.0, 1.0, 0.0, -1.0))
G = ((1.0, 0.0, 0.0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.0, 0.0, 1.0))
A_T = ((1.0, 1.0, 1.0, 0.0), (0.0, 1.0, -1.0, -1.0))


def both_ways(matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    """X -> M X M^T as one matrix on X's numbers in a row."""
    one = torch.tensor(matrix)
    return torch.kron(one, one)


INPUT, WEIGHT, OUTPUT = both_ways(B_T), both_ways(G), both_ways(A_T)
"""(16, 16), (16, 9) and (4, 16)."""

CENTRE = 5
"""Of the 16, the one that adds to all four outputs alike: where the bias goes."""

FEWEST_TILES, NARROWEST, MOST_WEIGHTS = 64, 192, 320 * 960
"""From so many tiles and channels on it was faster than oneDNN's convolution (1.1 to 2 times); larger weights would cost too much memory,
since 16 numbers stand for 9."""

AT_ONCE = 2**22
"""Numbers that are there three times while tiles are computed: 16 MiB each. A decoder's maps of 512 x 512 with 256 channels would have 64
times as many, so that they are computed in strips."""


def tiles(rows: int, height: int, width: int) -> int:
    """Of 2x2 outputs in so many pictures."""
    return rows * -(-height // 2) * -(-width // 2)


def pays(x: Tensor, weight: Tensor) -> bool:
    """Whether to convolve x (B, I, h, w) with a weight (O, I, 3, 3) like this. A rule of the shapes, so that a picture can be repeated."""
    outputs, inputs = weight.shape[:2]
    wide, small = min(inputs, outputs) >= NARROWEST, inputs * outputs <= MOST_WEIGHTS
    return wide and small and tiles(len(x), *x.shape[-2:]) >= FEWEST_TILES


def transformed(weight: Tensor) -> Tensor:
    """(O, I, 3, 3) -> (16, I, O)."""
    outputs, inputs = weight.shape[:2]
    return (WEIGHT @ weight.permute(2, 3, 1, 0).reshape(9, -1)).view(16, inputs, outputs)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, added: Tensor | None = None) -> Tensor:
    """The convolution with padding 1. x: (B, I, h, w), channels-last; weight: as transformed; added: (B, O, h, w). Returns (B, O, h, w)."""
    rows, inputs, height, width = x.shape
    down, across, outputs = -(-height // 2), -(-width // 2), weight.shape[2]
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1 + width % 2, 1, 1 + height % 2))
    lines = max(AT_ONCE // (16 * rows * across * max(inputs, outputs)), 1)
    strips = [padded[:, 2 * top : 2 * min(top + lines, down) + 2] for top in range(0, down, lines)]
    found = [_strip(strip, weight, bias) for strip in strips]
    result = (found[0] if len(found) == 1 else torch.cat(found, dim=1))[:, :height, :width].permute(0, 3, 1, 2)
    result = result.contiguous(memory_format=torch.channels_last)
    return result if added is None else result.add_(added)


def _strip(padded: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(B, 2 n + 2, 2 m + 2, I) to the (B, 2 n, 2 m, O) whose neighbours it holds."""
    rows, down, across, inputs, outputs = len(padded), padded.shape[1] // 2 - 1, padded.shape[2] // 2 - 1, padded.shape[3], weight.shape[2]
    of_picture, of_line, of_pixel, _ = padded.stride()
    size, strides = (4, 4, rows, down, across, inputs), (of_line, of_pixel, of_picture, 2 * of_line, 2 * of_pixel, 1)
    seen = torch.mm(INPUT, padded.as_strided(size, strides).reshape(16, -1)).view(16, -1, inputs)  # (16, T, I)
    products = torch.bmm(seen, weight)  # (16, T, O)
    if bias is not None:
        products[CENTRE].add_(bias)
    blocks = torch.mm(OUTPUT, products.view(16, -1)).view(2, 2, rows, down, across, outputs).permute(2, 3, 0, 4, 1, 5)
    return blocks.reshape(rows, 2 * down, 2 * across, outputs)
