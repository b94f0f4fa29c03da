"""Checkpoints of a few tensors."""

import pytest
import torch

from ldmcli.training import checkpoints


@pytest.fixture
def tensors():
    """Two files of tensors in shapes and types that training has."""
    torch.manual_seed(0)
    convolution = torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last)
    network = {"conv.weight": convolution, "half": torch.randn(5).to(torch.float16), "empty": torch.zeros(0)}
    return {"network": network, "optimizer": {"0.step": torch.tensor(7.0), "0.exp_avg": torch.randn(4, 3, 3, 3)}}


@pytest.fixture
def folder(tmp_path, tensors):
    """A folder with complete checkpoints of steps 10, 20 and 30."""
    for step in (10, 20, 30):
        checkpoints.save(tmp_path, step, tensors, {"of": step})
    return tmp_path
