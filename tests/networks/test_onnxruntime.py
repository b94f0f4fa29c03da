"""The U-Net by ONNX Runtime: the numbers of the plain one, kept on disk whole or not at all."""

from importlib.util import find_spec

import pytest
import torch
from exported_inputs import CASES, SMALL, inputs

from ldmcli.errors import NotFound, UsageError
from ldmcli.networks import exported
from ldmcli.networks import onnxruntime as engine
from ldmcli.networks.onnxruntime import ONNXRuntimeUNet
from ldmcli.networks.unet import UNet

needed = pytest.mark.skipif(not (find_spec("onnxruntime") and find_spec("onnx")), reason="needs onnxruntime and onnx")


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return UNet(SMALL).eval()


@needed
@torch.no_grad()
@pytest.mark.parametrize("case", CASES, ids=["square", "odd side, masked, timesteps of their own"])
def test_it_answers_what_the_plain_network_answers(unet, case):
    compiled = ONNXRuntimeUNet(unet, None)
    for earlier in (0.0, 80.0):
        x, steps, context = inputs(**case)
        expected, answer = unet(x, steps - earlier, context), compiled(x, steps - earlier, inputs(**case)[2])
        assert (answer - expected).abs().max() <= 1e-4 * expected.abs().max()


@needed
@torch.no_grad()
def test_it_is_exported_once_and_a_damaged_one_again(unet, tmp_path, monkeypatch):
    made, original = [], engine.export
    monkeypatch.setattr(engine, "export", lambda *args: made.append(1) or original(*args))
    x, t, context = inputs()
    first = ONNXRuntimeUNet(unet, tmp_path)(x, t, context)
    assert torch.equal(ONNXRuntimeUNet(unet, tmp_path)(x, t, context), first) and len(made) == 1
    [model] = tmp_path.glob("*/unet.onnx")
    whole = model.read_bytes()
    for made_by_now, damaged in ((2, whole[:100]), (3, bytes(len(whole)))):
        model.write_bytes(damaged)
        assert torch.equal(ONNXRuntimeUNet(unet, tmp_path)(x, t, context), first) and len(made) == made_by_now
    assert len(list(tmp_path.iterdir())) == 1


def test_what_it_cannot_do_is_refused_with_what_to_do(monkeypatch):
    for missing, package in (({"onnxruntime", "onnx"}, "onnxruntime onnx"), ({"onnx"}, "onnx")):
        monkeypatch.setattr(exported, "find_spec", lambda name, missing=missing: None if name in missing else True)
        with pytest.raises(NotFound, match="onnxruntime needs the packages? onnx") as refused:
            ONNXRuntimeUNet.check(torch.device("cpu"), torch.float32)
        assert refused.value.hint == f"Get it with: pip install {package}"
    monkeypatch.setattr(exported, "find_spec", lambda name: True)
    with pytest.raises(UsageError, match="computes in fp32"):
        ONNXRuntimeUNet.check(torch.device("cpu"), torch.bfloat16)
