"""Convolutions and linear layers for inference on a CPU: weights in the order in which the kernels read them.

torch hands plain weights to oneDNN, which orders them anew at every call: with few pictures that takes as long as the product.
Here that is done once, when a layer first runs and the shape of its input is known. What would be added to a product afterwards, its
kernel adds. The numbers are those of the plain layers, to rounding.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ldmcli.networks import winograd
from ldmcli.networks.file_weights import let_go, stays_in_file
from ldmcli.networks.linear import onednn_is_faster

# B pictures, N rows (pictures times tokens), I and O width of input and output


IN_PLACE = 2**19
"""Numbers of a linear layer's weight from which packing gained nothing (SD v1.4, 256 and 512 pixels, both kinds of product): where it
stays in its file, it is multiplied with as it stands there, and takes no memory between its turns."""


def can_pack() -> bool:
    """Whether this torch has what these layers call: operations of oneDNN that are not public, and MKL, which x86 processors have."""
    operations = ("_convolution_pointwise", "_linear_pointwise", "_reorder_linear_weight")
    available = all(hasattr(torch.ops.mkldnn, name) for name in operations) and hasattr(torch._C._nn, "mkldnn_reorder_conv2d_weight")
    return available and torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()


def frozen(weight: Tensor) -> nn.Parameter:
    """A parameter that is counted as such and never trained."""
    return nn.Parameter(weight.detach(), requires_grad=False)


class PackedConv(nn.Module):
    """nn.Conv2d in channels-last order. Holds the layer's own weight until it first runs, which decides how it is packed."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = frozen(conv.weight)
        self.bias = None if conv.bias is None else frozen(conv.bias)
        self.padding, self.stride = [int(side) for side in conv.padding], list(conv.stride)
        self.usual = tuple(conv.kernel_size) == (3, 3) and self.padding == [1, 1] and self.stride == [1, 1]
        self.packs, self.keeps = True, True
        self.spread: Tensor | None = None
        """(16, I, O), where Winograd's algorithm convolves; `weight` is then without values."""
        self.spreads, self.packed_for = False, list[int]()
        """How it is packed: whether for Winograd's algorithm, and the shape of its first input."""

    def forward(self, x: Tensor, *, bias: Tensor | None = None, added: Tensor | None = None) -> Tensor:
        """x: (B, I, h, w). bias: (O,), instead of the layer's own; added: (B, O, h', w'), to the result. Returns (B, O, h', w')."""
        bias = self.bias if bias is None else bias
        if not self.packs:
            result = F.conv2d(x, self.weight, bias, tuple(self.stride), tuple(self.padding))
            return result if added is None else result + added
        plain = None if self.keeps else self.weight
        try:
            if not self.weight.is_mkldnn and self.spread is None:
                self._pack(x)
            return self._convolved(x, bias, added)
        finally:
            if plain is not None:
                self.weight, self.spread = plain, None
                let_go(plain)

    def _convolved(self, x: Tensor, bias: Tensor | None, added: Tensor | None) -> Tensor:
        if self.spread is not None:
            return winograd.convolve(x, self.spread, bias, added)
        place = (self.padding, self.stride, [1, 1], 1)
        if added is None:
            result: Tensor = torch.ops.mkldnn._convolution_pointwise(x, self.weight, bias, *place, "none", [], "")
        else:
            result = torch.ops.mkldnn._convolution_pointwise.binary(x, added, self.weight, bias, *place, "add", 1.0, None, [], None)
        return result

    def _pack(self, x: Tensor) -> None:
        if not self.packed_for:
            self.spreads, self.packed_for = self.usual and winograd.pays(x, self.weight), list(x.shape)
        if self.spreads:
            self.spread, packed = winograd.transformed(self.weight).detach(), self.weight.to("meta")
        else:
            packed = torch._C._nn.mkldnn_reorder_conv2d_weight(  # type: ignore[attr-defined,call-arg]
                self.weight.to_mkldnn(), self.padding, self.stride, [1, 1], 1, self.packed_for
            )
        self.weight = frozen(packed)


class PackedLinear(nn.Module):
    """One or several linear layers of the same input as one product, their outputs side by side.

    weights: (O_1, I), (O_2, I), ... or those of 1x1 convolutions; bias: (O,), of all together.
    Multiplied by oneDNN where that is the faster one, else by MKL, which reads (I, O) faster than (O, I) when it is not in the cache.
    """

    def __init__(self, *weights: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        self.weights = nn.ParameterList([frozen(weight.flatten(1)) for weight in weights])
        self.bias = None if bias is None else frozen(bias)
        self.packs, self.by_onednn = True, onednn_is_faster()
        self.in_place = len(weights) == 1 and used_in_place(weights[0])
        self.packed: Tensor | None = None

    def side_by_side(self) -> Tensor:
        """(O, I), of all."""
        return self.weights[0] if len(self.weights) == 1 else torch.cat(list(self.weights))

    def weight(self, rows: int) -> Tensor:
        """All of them, packed when first asked for: opaque, (O, I), for oneDNN, which wants to know the number of rows; else (I, O)."""
        if self.in_place:
            return self.weights[0] if self.by_onednn else self.weights[0].t()
        if self.packed is None:
            whole = self.side_by_side()
            packed = torch.ops.mkldnn._reorder_linear_weight(whole.detach(), rows) if self.by_onednn else whole.t().contiguous()
            self.packed = frozen(packed)
            self.weights = nn.ParameterList([self.packed])
        return self.packed

    def forward(self, x: Tensor, *, gelu: bool = False, times: Tensor | None = None) -> Tensor:
        """x: (..., I). gelu: of the result; times: (..., O), multiplied with it, and overwritten. Returns (..., O)."""
        if not self.packs:
            plain = F.linear(x, self.side_by_side(), self.bias)
            plain = F.gelu(plain) if gelu else plain
            return plain if times is None else plain * times
        rows = x.reshape(-1, x.shape[-1])
        weight = self.weight(len(rows))
        if self.by_onednn and times is not None:
            result = torch.ops.mkldnn._linear_pointwise.binary(rows, times.view(len(rows), -1), weight, self.bias, "mul")
        elif self.by_onednn:
            result = torch.ops.mkldnn._linear_pointwise(rows, weight, self.bias, *(("gelu", [], "none") if gelu else ("none", [], "")))
        else:
            result = torch.mm(rows, weight) if self.bias is None else torch.addmm(self.bias, rows, weight)
            result = F.gelu(result) if gelu else result
            result = result if times is None else times.view(result.shape).mul_(result)
        self._used()
        return result.view(*x.shape[:-1], -1)

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """total + forward(x), in the place of total where the kernel can. total: (..., O), contiguous; x: (..., I)."""
        if not self.packs:
            return total + self.forward(x)
        rows, sums = x.reshape(-1, x.shape[-1]), total.view(-1, total.shape[-1])
        weight = self.weight(len(rows))
        if self.by_onednn:
            sums = torch.ops.mkldnn._linear_pointwise.binary(rows, sums, weight, self.bias, "add")
        else:
            sums.addmm_(rows, weight)
            if self.bias is not None:
                sums.add_(self.bias)
        self._used()
        return sums.view_as(total)

    def _used(self) -> None:
        if self.in_place:
            let_go(self.weights[0])


class SideBySide(nn.Module):
    """Several linear layers of the same input whose weights stay in their file: as one they would be a copy in memory."""

    def __init__(self, *layers: PackedLinear) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., I). Returns their outputs, (..., O_1 + O_2 + ...)."""
        return torch.cat([layer(x) for layer in self.layers], dim=-1)


def used_in_place(weight: Tensor) -> bool:
    """Whether a linear layer's weight is left in its file."""
    return weight.numel() >= IN_PLACE and stays_in_file(weight)


def packed_in_turn(network: nn.Module) -> None:
    """Let convolutions whose weights are in their file pack them at every call, for as long as it takes: no more than one is in memory."""
    for layer in network.modules():
        if isinstance(layer, PackedConv) and stays_in_file(layer.weight):
            layer.keeps = False


def unpacked(network: nn.Module) -> None:
    """Let its layers be torch's own, in any precision: for another engine, which is handed the operations and packs by itself."""
    for layer in network.modules():
        if isinstance(layer, PackedConv | PackedLinear):
            layer.packs = False


def packed_linear(layer: nn.Module) -> PackedLinear:
    """nn.Linear or 1x1 nn.Conv2d."""
    return PackedLinear(layer.weight, bias=layer.bias)  # type: ignore[arg-type]


def packed_linears(*layers: nn.Module) -> PackedLinear | SideBySide:
    """The layers of one input as one. All have biases or none has."""
    if any(used_in_place(layer.weight) for layer in layers):  # type: ignore[arg-type]
        return SideBySide(*map(packed_linear, layers))
    biases = [layer.bias for layer in layers if layer.bias is not None]
    bias = torch.cat(biases) if len(biases) > 1 else next(iter(biases), None)  # type: ignore[arg-type]
    return PackedLinear(*(layer.weight for layer in layers), bias=bias)  # type: ignore[arg-type,misc]
