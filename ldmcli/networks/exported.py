"""A U-Net for another engine: exported once for its shapes, kept on disk, and held to the plain one by tests.

What is exported is the inference copy, in torch's own operations, with all that does not depend on the latents as inputs: keys and values
of the text, computed once for a prompt, and what the ResNet blocks add for the timestep. The first half of a guided call stands for both
of them up to the text. The loop, the solvers and the text stay ours.
"""

import copy
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from ldmcli.errors import NotFound, UsageError
from ldmcli.networks.attention import TextContext
from ldmcli.networks.export_cache import entry_name, is_whole
from ldmcli.networks.inference import InferenceUNet
from ldmcli.networks.inference_layers import FusedCrossAttention
from ldmcli.networks.packed import unpacked
from ldmcli.networks.unet import UNet

# B rows (pictures, twice with guidance), C latent channels, h w latent size, L text tokens, H heads, d width of a head,
# O outputs of all ResNet blocks' time projections

MOST_COMPILED = 4
"""Shapes that stay compiled in memory; each holds the weights. A batch has up to four: full or not, guided or not."""

NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}
"""Of precisions, as --dtype knows them."""

Call = Callable[[list[Tensor]], Tensor]
"""A compiled network: its inputs in, the prediction out, fp32."""


def cross_attentions(network: nn.Module) -> list[FusedCrossAttention]:
    """Its layers that attend to the text, in the order of their keys and values."""
    return [layer for layer in network.modules() if isinstance(layer, FusedCrossAttention)]


class Exported(nn.Module):
    """The copy as it is exported. masked: whether the last input is the text's mask."""

    def __init__(self, network: InferenceUNet, *, masked: bool = False) -> None:
        super().__init__()
        self.network, self.layers, self.masked = network, cross_attentions(network), masked

    def forward(self, x: Tensor, times: Tensor, *rest: Tensor) -> Tensor:
        """x: (B, C, h, w), or half as many rows; times: (O,), or (B, O) where timesteps differ; rest: keys, (B, H, d, L), and values,
        (B, H, L, d), of each layer, then the mask (B, L).
        """
        pairs = rest[:-1] if self.masked else rest
        context = TextContext(pairs[0], rest[-1] if self.masked else None, remember=True)
        for i, layer in enumerate(self.layers):
            context.keep(layer, (pairs[2 * i], pairs[2 * i + 1]))
        return self.network.answer(x, list(times.split(self.network.widths(), dim=-1)), context)


class ExportedUNet(UNet, ABC):
    """A U-Net that is only called, on a CPU. Compiled when it first meets a shape, which takes seconds, or minutes for a large one.

    cache: folder of the exported networks, or None to keep none. Not meant to be trained or looked into.
    """

    engine: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    """What has to be installed."""
    precisions: ClassVar[dict[torch.dtype, str]]
    """What it computes in, by our name and by its own."""

    def __init__(self, unet: UNet, cache: Path | None) -> None:
        nn.Module.__init__(self)
        self.config, self.cache, self.network = unet.config, cache, InferenceUNet(unet)
        unpacked(self.network)
        self.conv_in = self.network.conv_in
        self.cross_attentions = cross_attentions(self.network)
        self.calls: dict[tuple[object, ...], Call] = {}

    @classmethod
    def check(cls, device: torch.device, dtype: torch.dtype) -> None:
        """Raise NotFound where the package is missing, UsageError where it is not for this device or precision."""
        missing = [name for name in cls.packages if find_spec(name) is None]
        if missing:
            raise NotFound(
                f"{cls.engine} needs the package{'s' * (len(missing) > 1)} {' and '.join(missing)}.",
                hint=f"Get it with: pip install {' '.join(missing)}",
            )
        if device.type != "cpu":
            raise UsageError(f"{cls.engine} runs on a CPU here, and the device is {device}.", hint="Add --device cpu.")
        if dtype not in cls.precisions:
            names = [NAMES[known] for known in cls.precisions]
            raise UsageError(f"{cls.engine} computes in {' or '.join(names)} here.", hint=f"Add --dtype {names[-1]}.")

    def expect(self, timesteps: Tensor) -> None:
        """See InferenceUNet."""
        self.network.expect(timesteps)

    def inputs(self, latents: Tensor, timesteps: Tensor, context: TextContext) -> list[Tensor]:
        """Of the exported network, in fp32, for such a call."""
        once, times = self.network.once(latents, timesteps)
        pairs = [part for layer in self.cross_attentions for part in context.keys_values(layer)]
        mask = [] if context.mask is None else [context.mask]
        return [part.float().contiguous() for part in (once, torch.cat(times, dim=-1), *pairs)] + mask

    @torch.no_grad()
    def forward(self, latents: Tensor, timesteps: Tensor, context: TextContext) -> Tensor:
        """latents: (B, C, h, w), scaled; timesteps: (B,). Returns the prediction (epsilon or v), (B, C, h, w)."""
        inputs = self.inputs(latents, timesteps, context)
        key = tuple(tuple(part.shape) for part in (*inputs[:3], inputs[-1]))
        call = self.calls.pop(key, None) or self.compiled(inputs, masked=context.mask is not None)
        for oldest in list(self.calls)[: 1 - MOST_COMPILED]:
            del self.calls[oldest]
        self.calls[key] = call  # the newest last
        return call(inputs).to(latents.dtype)

    @abstractmethod
    def compiled(self, inputs: list[Tensor], *, masked: bool) -> Call:
        """What computes for inputs of these shapes."""

    def entry(self, inputs: list[Tensor], versions: str) -> Path | None:
        """Where the cache keeps the network for inputs of these shapes; None where there is none. versions: whatever else decides it."""
        return self.cache and self.cache / entry_name(
            self.network, [list(part.shape) for part in inputs], f"{versions} {torch.__version__}"
        )

    def network_in_fp32(self) -> InferenceUNet:
        """The network, or a copy of one in half precision: engines round by themselves what they compute in bf16."""
        return self.network if self.conv_in.weight.dtype == torch.float32 else copy.deepcopy(self.network).float()


def use_entry(entry: Path | None) -> bool:
    """Whether the cache has it whole; it is the one that was used last, then."""
    if entry is None or not is_whole(entry):
        return False
    with suppress(OSError):  # of somebody else's, perhaps
        os.utime(entry)
    return True
