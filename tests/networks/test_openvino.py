"""The U-Net by OpenVINO: the numbers of the plain one, kept on disk whole or not at all."""

import dataclasses
import json
import multiprocessing
import os
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from exported_inputs import CASES, SMALL, inputs

from ldmcli.errors import UsageError
from ldmcli.networks.export_cache import MARK, entry_name, is_whole
from ldmcli.networks.openvino import OpenVINOUNet
from ldmcli.networks.unet import UNet

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="needs openvino")


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return UNet(SMALL).eval()


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A folder of exported networks: an export takes a second, whatever the size."""
    return tmp_path_factory.mktemp("exported")


@torch.no_grad()
@pytest.mark.parametrize("case", CASES, ids=["guided", "odd side, masked, timesteps of their own"])
def test_it_answers_what_the_plain_network_answers(unet, cache, case):
    compiled = OpenVINOUNet(unet, cache)
    for earlier in (0.0, 80.0):
        x, steps, context = inputs(**case)
        steps = steps - earlier
        handed = compiled.inputs(x, steps, context)
        assert (len(handed[0]), handed[1].dim()) == ((3, 2) if case else (1, 1))  # one half stands for both
        expected, answer = unet(x, steps, context), compiled(x, steps, inputs(**case)[2])
        assert (answer - expected).abs().max() <= 1e-4 * expected.abs().max()


@torch.no_grad()
def test_bf16_is_asked_for_by_name_and_near(unet, tmp_path):
    half = UNet(SMALL).eval()
    half.load_state_dict(unet.state_dict())
    half.to(torch.bfloat16)
    x, t, context = inputs()
    expected = unet(x, t, context)
    answer = OpenVINOUNet(half, tmp_path)(x.bfloat16(), t, dataclasses.replace(context, states=context.states.bfloat16(), _kept={}))
    assert answer.dtype == torch.bfloat16
    assert 0 < (answer.float() - expected).abs().max() <= 0.05 * expected.abs().max()


@torch.no_grad()
def test_what_is_kept_is_read_again_and_what_is_damaged_made_again(unet, cache, monkeypatch):
    import openvino

    x, t, context = inputs()
    first = OpenVINOUNet(unet, cache)(x, t, context)
    made, reports = [], []
    original = openvino.convert_model
    monkeypatch.setattr(multiprocessing.Process, "start", lambda self: reports.append(self))  # by which it would tell its maker
    monkeypatch.setattr(openvino, "convert_model", lambda *args, **options: made.append(1) or original(*args, **options))
    entry = cache / named(unet)
    assert torch.equal(OpenVINOUNet(unet, cache)(x, t, context), first)
    assert set(json.loads((entry / MARK).read_text())) == {"unet.xml", "unet.bin"} and not made
    weights = (entry / "unet.bin").read_bytes()
    (entry / "unet.bin").write_bytes(weights[:100])
    before = set(os.listdir(cache))
    assert torch.equal(OpenVINOUNet(unet, cache)(x, t, context), first) and len(made) == 1 and not reports
    assert (entry / "unet.bin").read_bytes() == weights and set(os.listdir(cache)) == before
    for mark in ("[]", "{}", "nothing", '{"unet.xml": 1}', '{"gone.bin": 1}'):
        (entry / MARK).write_text(mark)
        assert not is_whole(entry)


def named(unet):
    """The entry of a network for `inputs()`."""
    import openvino

    compiled = OpenVINOUNet(unet, Path())
    shapes = [list(part.shape) for part in compiled.inputs(*inputs())]
    return entry_name(compiled.network, shapes, f"False {openvino.__version__} {torch.__version__}")


def test_other_weights_shapes_and_versions_have_other_entries(unet):
    shapes, version = [[2, 4, 8, 8]], "1"
    names = {entry_name(network, *rest) for network in (unet, UNet(SMALL)) for rest in ((shapes, version), ([[1]], version), (shapes, "2"))}
    assert len(names) == 6 and entry_name(unet, shapes, version) in names


def test_other_devices_and_precisions_are_refused():
    with pytest.raises(UsageError, match="fp32 or bf16"):
        OpenVINOUNet.check(torch.device("cpu"), torch.float16)
    with pytest.raises(UsageError, match="the device is cuda"):
        OpenVINOUNet.check(torch.device("cuda"), torch.float32)


@torch.no_grad()
def test_a_signal_is_heard_after_networks_were_let_go(unet, cache):
    """With a core of its own for each shape the process ended here."""
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(True))
    try:
        for case in CASES:
            OpenVINOUNet(unet, cache)(*inputs(**case))
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [True]
