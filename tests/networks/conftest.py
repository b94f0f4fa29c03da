"""Networks and their inference copies, made once."""

import pytest
from inference_pairs import KINDS, random_values

from ldmcli.networks import packed
from ldmcli.networks.configs import UNetConfig
from ldmcli.networks.inference import InferenceUNet
from ldmcli.networks.unet import UNet


@pytest.fixture(scope="session")
def pairs():
    """Every kind as (plain, its copy)."""
    plain = {name: random_values(UNet(UNetConfig(**options))) for name, options in KINDS.items()}
    return {name: (unet, InferenceUNet(unet)) for name, unet in plain.items()}


@pytest.fixture(params=["oneDNN", "MKL"])
def kernels(request, monkeypatch):
    """Both kinds of product, whatever the processor; without this fixture, the one that is faster here."""
    monkeypatch.setattr(packed, "onednn_is_faster", lambda: request.param == "oneDNN")
