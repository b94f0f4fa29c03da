"""Cross-attention keys and values that are kept over the denoising loop."""

import pytest
import torch
from torch import nn

from ldmcli.networks.attention import TextContext, attend
from ldmcli.networks.configs import UNetConfig
from ldmcli.networks.unet import UNet


@pytest.fixture(scope="module")
def unet() -> UNet:
    torch.manual_seed(0)
    config = UNetConfig(
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=4,
        cross_attention_dim=12,
        attention_head_dim=2,
    )
    return UNet(config).eval().requires_grad_(False)


def count_projections(unet: UNet) -> dict[str, int]:
    """Filled with how often each cross-attention key projection runs."""
    calls: dict[str, int] = {}
    for name, module in unet.named_modules():
        if name.endswith("attn2.to_k"):
            calls[name] = 0
            module.register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    return calls


@pytest.fixture(params=[None, [[True] * 5, [True] * 2 + [False] * 3]], ids=["no mask", "a mask"])
def mask(request) -> torch.Tensor | None:
    return None if request.param is None else torch.tensor(request.param)


def test_remembering_changes_no_number_and_projects_once_per_layer(unet, mask):
    latents, states = torch.randn(3, 2, 4, 8, 8), torch.randn(2, 5, 12)
    plain = [unet(x, torch.tensor([t, t]), TextContext(states, mask)) for x, t in zip(latents, (900, 500, 1), strict=True)]
    calls = count_projections(unet)
    context = TextContext(states, mask, remember=True)
    kept = [unet(x, torch.tensor([t, t]), context) for x, t in zip(latents, (900, 500, 1), strict=True)]
    assert all(torch.equal(a, b) for a, b in zip(plain, kept, strict=True))
    assert set(calls.values()) == {1}
    assert len(calls) == sum(isinstance(m, nn.Linear) and n.endswith("attn2.to_k") for n, m in unet.named_modules()) == 7


def test_without_remembering_every_call_projects_again(unet):
    """In training the weights change between calls, and the kept tensors would hold the whole graph."""
    latents, context = torch.randn(2, 4, 8, 8), TextContext(torch.randn(2, 5, 12))
    calls = count_projections(unet)
    for _ in range(3):
        unet(latents, torch.tensor([5, 5]), context)
    assert set(calls.values()) == {3}


def test_two_contexts_do_not_share_what_they_remember(unet):
    latents, t = torch.randn(2, 4, 8, 8), torch.tensor([10, 10])
    first, second = (TextContext(torch.randn(2, 5, 12), remember=True) for _ in range(2))
    a, b = unet(latents, t, first), unet(latents, t, second)
    assert not torch.equal(a, b)
    assert torch.equal(a, unet(latents, t, first))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [4, 64, 200])
def test_both_paths_of_attention_agree(length, causal):
    q, k, v = torch.randn(3, 2, 3, length, 8)
    mask = None if causal else torch.rand(2, 1, 1, length) < 0.7
    if mask is not None:
        mask[..., 0] = True
    with torch.enable_grad():
        recorded = attend(q, k, v, mask, causal=causal)
    with torch.no_grad():
        fused = attend(q, k, v, mask, causal=causal)
    assert (recorded - fused).abs().max() <= 1e-6


def test_attention_is_softmax_of_scaled_products():
    q, k, v = torch.randn(3, 1, 1, 6, 4, dtype=torch.float64)
    with torch.no_grad():
        got = attend(q, k, v)
    wanted = torch.softmax(q @ k.transpose(-2, -1) / 2, dim=-1) @ v
    assert torch.allclose(got, wanted, atol=1e-12)
