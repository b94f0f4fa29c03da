"""The engines other than torch that compute a U-Net, by the name of their backend."""

from ldmcli.networks.exported import ExportedUNet
from ldmcli.networks.onnxruntime import ONNXRuntimeUNet
from ldmcli.networks.openvino import OpenVINOUNet

ENGINES: dict[str, type[ExportedUNet]] = {"openvino": OpenVINOUNet, "onnxruntime": ONNXRuntimeUNet}
