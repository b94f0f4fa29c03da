"""Tiny data and a tiny model, made once."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # for `tiny`, which the folders beside this one share

from tiny import make_coco, make_pipeline  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def coco(tmp_path_factory):
    """A folder of 24 captioned pictures in COCO layout."""
    return make_coco(tmp_path_factory.mktemp("coco"))


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A whole diffusers folder with random weights."""
    return make_pipeline(tmp_path_factory.mktemp("models") / "tiny")
