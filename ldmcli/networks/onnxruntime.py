"""A U-Net by ONNX Runtime's CPU provider, for `bench --compare onnxruntime`. https://onnxruntime.ai/docs/api/python"""

import shutil
import tempfile
import warnings
from pathlib import Path

import torch
from torch import Tensor

from ldmcli.networks.export_cache import keep
from ldmcli.networks.exported import Call, Exported, ExportedUNet, use_entry

OPSET = 17
"""Version of ONNX's operations."""
FILE = "unet.onnx"


class ONNXRuntimeUNet(ExportedUNet):
    """See ExportedUNet. Its shapes are static."""

    engine, packages = "onnxruntime", ("onnxruntime", "onnx")  # torch writes the file with onnx
    precisions = {torch.float32: "f32"}

    def compiled(self, inputs: list[Tensor], *, masked: bool) -> Call:
        """A session for inputs of these shapes."""
        entry = self.entry(inputs, f"{masked} opset {OPSET}")

        def write(folder: Path) -> None:
            export(Exported(self.network, masked=masked), inputs, folder / FILE)

        if entry and use_entry(entry):
            try:
                return _session(entry / FILE)
            except Exception:  # onnxruntime's own types: damaged where that cannot be seen by its size; made again
                shutil.rmtree(entry, ignore_errors=True)
        if entry:
            keep(write, entry)
        if entry and use_entry(entry):
            return _session(entry / FILE)
        with tempfile.TemporaryDirectory() as folder:  # there is none that could be written to
            write(Path(folder))
            return _session(Path(folder) / FILE)


def export(network: Exported, inputs: list[Tensor], target: Path) -> None:
    """Write it in ONNX. Weights beyond protobuf's 2 GB are files beside it."""
    names = [f"input{place}" for place in range(len(inputs))]
    with warnings.catch_warnings():  # of the tracer, about branches on shapes, which are static here, and that it is the older of two
        warnings.simplefilter("ignore")
        torch.onnx.export(network, tuple(inputs), str(target), input_names=names, opset_version=OPSET, dynamo=False)


def _session(model: Path) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    names = [place.name for place in session.get_inputs()]

    def call(values: list[Tensor]) -> Tensor:
        return torch.from_numpy(session.run(None, {name: value.numpy() for name, value in zip(names, values, strict=True)})[0])

    return call
