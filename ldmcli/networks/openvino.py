"""A U-Net by OpenVINO's CPU plugin (the `openvino` extra): exported once for its shapes, kept on disk, and held to the plain one by tests.

What is exported is the inference copy, in torch's own operations, with all that does not depend on the latents as inputs: keys and values
of the text, computed once for a prompt, and what the ResNet blocks add for the timestep. The first half of a guided call stands for both
of them up to the text. The loop, the solvers and the text stay ours. https://docs.openvino.ai
"""

import copy
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ldmcli.errors import NotFound, UsageError
from ldmcli.networks.attention import TextContext
from ldmcli.networks.inference import InferenceUNet
from ldmcli.networks.inference_layers import FusedCrossAttention
from ldmcli.networks.openvino_cache import entry_name, is_whole, keep
from ldmcli.networks.packed import unpacked
from ldmcli.networks.unet import UNet

# B rows (pictures, twice with guidance), C latent channels, h w latent size, L text tokens, H heads, d width of a head,
# O outputs of all ResNet blocks' time projections

PRECISIONS = {torch.float32: "f32", torch.bfloat16: "bf16"}
"""What OpenVINO is told to compute in; left to itself it takes bf16 wherever a processor has it."""

MOST_COMPILED = 4
"""Shapes that stay compiled in memory; each holds the weights. A batch has up to four: full or not, guided or not."""


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


class OpenVINOUNet(UNet):
    """A U-Net that is only called, on a CPU. Compiled when it first meets a shape, which takes seconds, or minutes for a large one.

    cache: folder of the exported networks, or None to keep none. Not meant to be trained or looked into.
    """

    def __init__(self, unet: UNet, cache: Path | None) -> None:
        nn.Module.__init__(self)
        self.config, self.cache, self.network = unet.config, cache, InferenceUNet(unet)
        unpacked(self.network)
        self.conv_in = self.network.conv_in
        self.cross_attentions = cross_attentions(self.network)
        self.requests: dict[tuple[Any, ...], Any] = {}

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
        request = self.requests.pop(key, None) or self._compiled(inputs, masked=context.mask is not None)
        for oldest in list(self.requests)[: 1 - MOST_COMPILED]:
            del self.requests[oldest]
        self.requests[key] = request  # the newest last
        answer = request.infer([part.numpy() for part in inputs], share_inputs=True)[0]
        return torch.from_numpy(answer).to(latents.dtype)

    def _compiled(self, inputs: list[Tensor], *, masked: bool) -> Any:
        """A request for inputs of these shapes."""
        core = _core()
        model = self._exported(core, inputs, masked=masked)
        precision = PRECISIONS[self.conv_in.weight.dtype]
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
        return core.compile_model(model, "CPU", settings).create_infer_request()

    def _exported(self, core: Any, inputs: list[Tensor], *, masked: bool) -> Any:
        """The model of the cache, made where it is not there or damaged."""
        import openvino

        shapes = [list(part.shape) for part in inputs]
        entry = self.cache and self.cache / entry_name(self.network, shapes, f"{masked} {openvino.__version__} {torch.__version__}")
        if entry and is_whole(entry):
            with suppress(OSError):  # of somebody else's, perhaps
                os.utime(entry)  # used just now; see _make_room
            with suppress(RuntimeError):  # damaged where that cannot be seen by its size, or replaced this moment: made again
                return core.read_model(entry / "unet.xml")
        network = Exported(self._in_fp32(), masked=masked)
        with _no_statistics(), warnings.catch_warnings():  # of the tracer, about branches on shapes: those are static here
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
            # traced once: the tracer's own check would trace again what the tests hold to the plain network
            traced = torch.jit.trace(network, tuple(inputs), check_trace=False, strict=False)  # type: ignore[no-untyped-call]
            model = openvino.convert_model(traced, input=shapes)
        if entry:
            keep(model, entry)
        return model

    def _in_fp32(self) -> InferenceUNet:
        """The network, or a copy of one in half precision: OpenVINO rounds by itself what it computes in bf16."""
        return self.network if self.conv_in.weight.dtype == torch.float32 else copy.deepcopy(self.network).float()


@cache
def _core() -> Any:
    """The one of the process. A processor with AMX makes each give the thread a stack for signals, and take the one before back at its
    end: of several, one takes back a stack that is gone, and the next signal ends the process.
    """
    import openvino

    return openvino.Core()


@contextmanager
def _no_statistics() -> Iterator[None]:
    """OpenVINO's converter reports to its maker, from processes that it starts for that, unless it finds itself in a test of software."""
    before = os.environ.get("CI")
    os.environ["CI"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CI"]
        else:
            os.environ["CI"] = before


def check_openvino(device: torch.device, dtype: torch.dtype) -> None:
    """Raise NotFound where the package is missing, UsageError where it is not for this device or precision."""
    if find_spec("openvino") is None:
        raise NotFound("--backend openvino needs the package openvino.", hint="Get it with: pip install openvino")
    if device.type != "cpu":
        raise UsageError(f"--backend openvino runs on a CPU, and the device is {device}.", hint="Add --device cpu.")
    if dtype not in PRECISIONS:
        raise UsageError("--backend openvino computes in fp32 or bf16.", hint="Add --dtype bf16.")
