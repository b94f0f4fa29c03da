"""The linear layer by oneDNN against torch's own, forwards and backwards."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ldmcli.networks import linear
from ldmcli.networks.linear import Linear, OneDNNLinear

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch was built without oneDNN")


def layers(inputs, outputs, *, bias):
    torch.manual_seed(0)
    ours = Linear(inputs, outputs, bias=bias)
    torch.manual_seed(0)
    return ours, nn.Linear(inputs, outputs, bias=bias)


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 24), (2, 77, 24), (3, 2, 1, 24)])
def test_result_and_gradients_are_those_of_torch_in_fp64(shape, bias):
    torch.manual_seed(1)
    inputs = [torch.randn(shape), torch.randn(40, 24), *([torch.randn(40)] if bias else [])]
    ours, exact = ([value.to(dtype, copy=True).requires_grad_() for value in inputs] for dtype in (torch.float32, torch.float64))
    found, expected = OneDNNLinear.apply(*ours, *([] if bias else [None])), F.linear(*exact)
    wanted = torch.randn(expected.shape)
    found.backward(wanted)
    expected.backward(wanted.double())
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(ours, exact, strict=True):
        torch.testing.assert_close(mine.grad.double(), theirs.grad, rtol=1e-5, atol=1e-4)


@needs_onednn
def test_inputs_of_any_strides():
    torch.manual_seed(1)
    tokens = torch.randn(2, 24, 5, 3).flatten(2).transpose(1, 2)  # (2, 15, 24), not contiguous
    weight = torch.randn(40, 24)
    torch.testing.assert_close(OneDNNLinear.apply(tokens, weight, None), F.linear(tokens, weight), rtol=1e-5, atol=1e-5)


@needs_onednn
def test_no_gradient_is_computed_that_nobody_asked_for():
    x, weight = torch.randn(5, 24), torch.randn(40, 24, requires_grad=True)
    OneDNNLinear.apply(x, weight, None).sum().backward()
    assert x.grad is None and weight.grad is not None


@pytest.fixture
def faster(monkeypatch):
    """As on a processor where oneDNN is the faster one; the list grows with every product that it makes."""
    used = []
    monkeypatch.setattr(linear, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(linear, "WORTH_IT", 0)
    monkeypatch.setattr(linear, "times_transposed", lambda *values, whole=linear.times_transposed: used.append(1) or whole(*values))
    return used


@needs_onednn
@pytest.mark.parametrize("shape", [(24,), (2, 7, 24), (0, 24)])
def test_the_layer_uses_it_where_it_is_faster_and_equals_nn_linear(faster, shape):
    ours, theirs = layers(24, 40, bias=True)
    x = torch.randn(shape)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
    assert len(faster) == 2


@pytest.mark.parametrize(("name", "value"), [("onednn_is_faster", lambda: False), ("WORTH_IT", 2 * 7 * 24 * 40 + 1)])
def test_elsewhere_and_for_small_products_torch_multiplies(faster, monkeypatch, name, value):
    monkeypatch.setattr(linear, name, value)
    ours, theirs = layers(24, 40, bias=True)
    x = torch.randn(2, 7, 24)
    assert torch.equal(ours(x), theirs(x)) and not faster


def test_other_precisions_are_left_to_torch(faster):
    ours, theirs = layers(24, 40, bias=True)
    x = torch.randn(7, 24)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours(x), theirs(x)) and ours(x).dtype == torch.bfloat16
    assert torch.equal(ours.double()(x.double()), theirs.double()(x.double()))
    assert not faster


def test_a_compiler_sees_torchs_own_in_one_graph(faster):
    ours, theirs = layers(24, 40, bias=True)
    x = torch.randn(7, 24)
    compiled = torch.compile(ours, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), theirs(x)) and not faster


def test_what_asks_for_nn_linear_finds_it():
    ours, theirs = layers(24, 40, bias=True)
    assert isinstance(ours, nn.Linear)
    wanted = theirs.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in ours.state_dict().items())
