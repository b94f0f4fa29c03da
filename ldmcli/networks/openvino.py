"""A U-Net by OpenVINO's CPU plugin (the `openvino` extra). https://docs.openvino.ai"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ldmcli.networks.export_cache import keep
from ldmcli.networks.exported import Call, Exported, ExportedUNet, use_entry


class OpenVINOUNet(ExportedUNet):
    """See ExportedUNet."""

    engine, packages = "openvino", ("openvino",)
    precisions = {torch.float32: "f32", torch.bfloat16: "bf16"}
    """What OpenVINO is told to compute in; left to itself it takes bf16 wherever a processor has it."""

    def compiled(self, inputs: list[Tensor], *, masked: bool) -> Call:
        """A request for inputs of these shapes."""
        core = _core()
        model = self._exported(core, inputs, masked=masked)
        precision = self.precisions[self.conv_in.weight.dtype]
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
        request = core.compile_model(model, "CPU", settings).create_infer_request()
        return lambda values: torch.from_numpy(request.infer([part.numpy() for part in values], share_inputs=True)[0])

    def _exported(self, core: Any, inputs: list[Tensor], *, masked: bool) -> Any:
        """The model of the cache, made where it is not there or damaged."""
        import openvino

        entry = self.entry(inputs, f"{masked} {openvino.__version__}")
        if entry and use_entry(entry):
            with suppress(RuntimeError):  # damaged where that cannot be seen by its size, or replaced this moment: made again
                return core.read_model(entry / "unet.xml")
        network = Exported(self.network_in_fp32(), masked=masked)
        with _no_statistics(), warnings.catch_warnings():  # of the tracer, about branches on shapes: those are static here
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
            # traced once: the tracer's own check would trace again what the tests hold to the plain network
            traced = torch.jit.trace(network, tuple(inputs), check_trace=False, strict=False)  # type: ignore[no-untyped-call]
            model = openvino.convert_model(traced, input=[list(part.shape) for part in inputs])

        def write(folder: Path) -> None:
            openvino.save_model(model, folder / "unet.xml", compress_to_fp16=False)

        if entry:
            keep(write, entry)
        return model


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
